"""What the final training made."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """The retrained fusion network and how it came about.

    Args:
        fusion_network: `keras.Model`, retrained on train + dev.
        backbones: dict from modality to backbone: as given, or trained along where backbones were unfrozen. Empty
            when none were given.
        history: dict of lists of dicts, one an epoch: `fit` (on train: `epoch`, `loss`, `added_loss`, `dev_loss`,
            `dev_macro_f1`, `learning_rate`, `seconds`) and `retrain` (on train + dev: the same without dev).
        epochs: int. The best epoch of the fit, for which the retraining ran.
        dev_macro_f1: float. Macro F1 on dev at that epoch of the fit, by which the epoch was chosen.
    """

    fusion_network: keras.Model
    backbones: dict[str, keras.Model]
    history: dict[str, list[dict[str, Any]]]
    epochs: int
    dev_macro_f1: float
