"""What each modality's own head has to say in the answer of a trained model."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import keras
import numpy as np

from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.optimization.average_precision import macro_average_precision
from hfmnas_keras.optimization.epoch_choice import dev_scores
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.training_result import TrainingResult

#: Of all heads together, in steps: the fusion network keeps the rest.
LARGEST_SHARE, SHARE_STEP = 0.5, 0.1
# What is less is rounding.
_LEAST_GAIN = 1e-9


def with_head_shares(
    result: TrainingResult, dev: FeatureSet, settings: TrainingSettings, fixed_threshold: float = 0.5
) -> tuple[TrainingResult, dict[str, float]]:
    """Chooses how much of the answer is the heads' own, and takes scores and thresholds anew.

    Dev has been seen neither by the heads nor by the fit whose `dev_logits` the result has.

    Args:
        result: what the final training made.
        dev: `FeatureSet` of the same backbones.
        settings: those of that training, `head_shares` and `threshold` among them.
        fixed_threshold: as of `dev_scores`.

    Returns:
        `result` and no shares where `settings.head_shares` is `"none"` or backbones were trained along; else
        the result with `dev_macro_f1`, `dev_average_precision`, `thresholds` and `dev_logits` of the mixture, and the
        shares by modality, for `multimodal_classifier`. A backbone from a file may have no head of its own: its share
        is 0.
    """
    if settings.head_shares == "none" or settings.unfreeze_backbones:
        return result, {}
    heads = {
        modality: _outputs(backbone.get_layer("head"), dev.features[f"{modality}_high"])
        for modality, backbone in result.backbones.items()
        if any(layer.name == "head" for layer in backbone.layers)
    }
    shares = choose_head_shares(dev.labels, result.dev_logits, heads)
    mixed = mixed_logits(result.dev_logits, heads, shares)
    scores = dev_scores(dev.labels, mixed, settings.threshold, fixed_threshold)
    changed = dataclasses.replace(
        result,
        dev_macro_f1=scores["dev_macro_f1"],
        dev_average_precision=scores["dev_average_precision"],
        thresholds=np.array(scores["thresholds"]) if "thresholds" in scores else None,
        dev_logits=mixed,
    )
    return changed, shares


def choose_head_shares(labels: np.ndarray, fused: np.ndarray, heads: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The shares of the best macro average precision, the smallest of equally good ones.

    Not the loss, which would choose by how sure of itself a head is: its classes may weigh otherwise in training.

    Args:
        labels: int array `(rows,)` of class ids, or array `(rows, classes)`, multi-hot.
        fused: float array `(rows, classes)`, logits of the fusion network.
        heads: the same by modality.

    Returns:
        dict of float by modality, in steps of `SHARE_STEP`, together `LARGEST_SHARE` at most.

    Example:
    >>> labels = np.array([[1.0], [0.0]])
    >>> choose_head_shares(labels, np.array([[0.0], [0.1]]), {"text": np.array([[1.0], [0.0]])})
    {'text': 0.1}
    """
    steps = round(LARGEST_SHARE / SHARE_STEP)
    best, chosen = -np.inf, dict.fromkeys(heads, 0.0)
    candidates = [counts for counts in itertools.product(range(steps + 1), repeat=len(heads)) if sum(counts) <= steps]
    for counts in sorted(candidates, key=lambda counts: (sum(counts), counts)):
        shares = {modality: round(count * SHARE_STEP, 6) for modality, count in zip(heads, counts, strict=True)}
        score = macro_average_precision(labels, mixed_logits(fused, heads, shares))
        if score > best + _LEAST_GAIN:
            best, chosen = score, shares
    return chosen


def mixed_logits(fused: np.ndarray, heads: Mapping[str, np.ndarray], shares: Mapping[str, float]) -> np.ndarray:
    """Weighted mean of logits, of which the fusion network's has what the heads leave."""
    total = np.asarray(fused, "float64") * (1.0 - sum(shares.values()))
    for modality, share in shares.items():
        total = total + share * np.asarray(heads[modality], "float64")
    return total


def _outputs(layer: keras.layers.Layer, rows: np.ndarray) -> np.ndarray:
    inputs = keras.Input(rows.shape[1:])
    return np.asarray(keras.Model(inputs, layer(inputs)).predict(rows, verbose=0))
