"""The fusion network of a run, whichever model it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.models import searched_models  # noqa: F401 (registers ours)
from hfmnas_keras.models.baselines.baseline_model import baseline_model
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.models import PLAIN_MODELS, SEARCHED_MODELS, check_model


def fusion_network(
    model: str,
    feature_shapes: Mapping[str, Sequence[int]],
    num_outputs: int,
    fusion: FusionSettings | None = None,
    final_model: FinalModelSettings | None = None,
    mitigation: MitigationSettings | None = None,
    multi_label: bool = False,
    genotype: BaseGenotype | None = None,
    vocabulary_size: int | None = None,
    max_tokens: int | None = None,
) -> keras.Model:
    """Builds a model by its name, so that all are trained, gated and served in one way (docs/method.md, section 10).

    Args:
        model: str. One of `SEARCHED_MODELS` or `PLAIN_MODELS` of `hfmnas_keras.settings.models`.
        feature_shapes: dict from feature name to shape without the batch.
        num_outputs: int. Classes or labels.
        fusion, final_model, mitigation: `FusionSettings`, `FinalModelSettings`, `MitigationSettings`. Default to the
            paper's.
        multi_label: bool. Defaults to `False`.
        genotype: that of a search, for a searched model alone.
        vocabulary_size, max_tokens: as in `searched_model`; the other models read no tokens.

    Returns:
        Functional `keras.Model` from a dict of features to a dict: `logits`, float32 `(batch, num_outputs)`, and, where
        a paper trains each modality with a loss of its own, their logits.

    Raises:
        ValueError: for an unknown model, and for a genotype that is missing, not wanted or of another model.
    """
    if model in PLAIN_MODELS:
        if genotype is not None:
            raise ValueError(f"The model {model!r} is not searched and has no genotype. Leave `genotype` out.")
        return baseline_model(model, feature_shapes, num_outputs, fusion, final_model, multi_label)
    check_model(model)
    if genotype is None:
        raise ValueError(f"The model {model!r} is built from a genotype. Pass `genotype`, the result of a search.")
    if genotype.model != model:
        raise ValueError(
            f"The model {model!r} is built from a genotype of its own kind. Received: one of {genotype.model!r}. "
            f"Search with `model={model!r}`, or build {genotype.model!r}."
        )
    network = SEARCHED_MODELS[model].network(
        genotype, feature_shapes, num_outputs, fusion, final_model, mitigation, vocabulary_size, max_tokens
    )
    return keras.Model(network.inputs, {"logits": network.output}, name=network.name)
