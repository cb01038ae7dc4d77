"""HF-MNAS in Keras 3: the method, free of any pipeline.

The public names below are imported when they are asked for, so that `import hfmnas_keras` loads neither Keras nor
TensorFlow. It makes the layers of this package known to Keras: `keras.models.load_model` reads a run's
`classifier.keras` after it.
"""

from __future__ import annotations

import importlib
from typing import Any

from hfmnas_keras.known_to_keras import make_known

__version__ = "0.1.0"

_MODULES = {
    "FeatureSet": "data.feature_set",
    "FinalModelSettings": "settings.fusion",
    "FusionClassifier": "estimator.fusion_classifier",
    "FusionSettings": "settings.fusion",
    "Genotype": "genotype.genotype",
    "MitigationSettings": "settings.fusion",
    "PretrainingSettings": "settings.pretraining",
    "RaceSettings": "settings.race",
    "SearchSettings": "settings.search",
    "SpaceSettings": "settings.space",
    "TrainingSettings": "settings.training",
    "load_genotype": "genotype.load_genotype",
    "search_architecture": "search.architecture_search",
    "searched_model": "models.hf_mnas.searched_model",
    "train_fusion_network": "training.final_training",
}
__all__ = [*_MODULES, "__version__"]

make_known()


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    # The next time it is found without a call.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
