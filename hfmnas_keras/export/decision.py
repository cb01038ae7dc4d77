"""The labels that a served model gives, in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.evidence.opinion import binary_opinions

PROBABILITIES = "probabilities"
_BELIEF = "_belief"


def decision_of(
    outputs: Mapping[str, tf.Tensor],
    class_names: list[str],
    multi_label: bool,
    thresholds: Mapping[str, np.ndarray | None],
    absent: Mapping[str, tf.Tensor],
) -> dict[str, tf.Tensor]:
    """The named labels of `export_saved_model`: `label` and `score`, or `labels` and `{modality}_labels`.

    A row that lacks a modality, bool `(batch,)` in `absent`, has the labels of the other one's head.
    """
    names, probabilities = tf.constant(class_names), outputs[PROBABILITIES]
    if not multi_label:
        return {"label": tf.gather(names, tf.argmax(probabilities, axis=-1)), "score": tf.reduce_max(probabilities, -1)}

    def named(scores: tf.Tensor, bounds: Any) -> tf.Tensor:
        given = scores > tf.cast(bounds, tf.float32)
        order = tf.argsort(tf.where(given, scores, -1.0), direction="DESCENDING", stable=True)
        return tf.gather(tf.where(given, names, ""), order, batch_dims=1)

    fused = thresholds[PROBABILITIES]
    decision = {"labels": named(probabilities, 0.5 if fused is None else fused)}
    for modality in heads_of(outputs):
        own = thresholds.get(modality)
        # The probability of yes in an opinion grows with the logit, so a bound on the one is a bound on the other.
        bounds = 0.5 if own is None else _projected(*_opinion_of_yes(np.log(own) - np.log1p(-own)))
        scores = _projected(outputs[f"{modality}{_BELIEF}"], outputs[f"{modality}_uncertainty"])
        decision[f"{modality}_labels"] = named(scores, bounds)
    for modality, is_absent in absent.items():
        for other in set(heads_of(outputs)) - {modality}:
            decision["labels"] = tf.where(is_absent[:, None], decision[f"{other}_labels"], decision["labels"])
            decision[f"{modality}_labels"] = tf.where(is_absent[:, None], "", decision[f"{modality}_labels"])
    return decision


def heads_of(outputs: Mapping[str, Any]) -> list[str]:
    """The modalities whose beliefs are among a classifier's outputs."""
    return [name.removesuffix(_BELIEF) for name in outputs if name.endswith(_BELIEF)]


def _opinion_of_yes(logits: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    opinions = binary_opinions(tf.constant(logits[None], tf.float32))
    return opinions.belief[..., 0], opinions.uncertainty


def _projected(belief: tf.Tensor, uncertainty: tf.Tensor) -> tf.Tensor:
    return belief + uncertainty / 2
