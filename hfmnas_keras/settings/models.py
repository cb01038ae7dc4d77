"""Names of the fusion models that a run can train (docs/method.md, sections 4, 10, 11)."""

from __future__ import annotations

from typing import Any

from hfmnas_keras.registry import Registry

#: Those that are searched, ours and those of other packages: a `SearchedModel` of `hfmnas_keras.models` each.
SEARCHED_MODELS: Registry[Any] = Registry(
    "searched model",
    {
        "hf_mnas": "two hierarchical cells and the inconsistency mitigation (Long et al., 2025)",
        "bm_nas": "features, steps and their operations (Yin et al., 2022)",
    },
)
#: Those whose shape is fixed, ours and those of other packages: a function each, see
#: `hfmnas_keras.models.baselines.baseline_model.register_plain_model`.
PLAIN_MODELS: Registry[Any] = Registry(
    "plain model",
    {
        "unimodal_first": "a hidden layer on the first modality alone, Dense",
        "unimodal_second": "a hidden layer on the second modality alone, Dense",
        "concatenation": "a hidden layer a modality, concatenated, Dense",
        "late_average": "a classifier a modality; the mean of their probabilities",
        "two_stream": "a classifier a modality; a linear one on their standardised scores (Simonyan, 2014)",
        "gmu": "gated multimodal unit, then a hidden layer (Arevalo et al., 2017)",
        "central_net": "a central stream beside those of the modalities (Vielzeuf et al., 2018)",
        "mmtm": "each modality reweighs the other's channels at both levels, late average (Joze et al., 2020)",
        "mmbt": "positions of all features as tokens of a transformer of two blocks (Kiela et al., 2019)",
    },
)


def check_model(model: object) -> None:
    """Raises a ValueError that lists the known models, searched and plain, unless this is one of them."""
    if model not in SEARCHED_MODELS and model not in PLAIN_MODELS:
        raise ValueError(
            f"There is no model {model!r}. Known ones: {', '.join((*SEARCHED_MODELS, *PLAIN_MODELS))}. One of a "
            "package of your own is known once the package is imported: name it in `plugins`."
        )
