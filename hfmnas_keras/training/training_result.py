"""What the final training made."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """The retrained fusion network and how it came about.

    Args:
        fusion_network: `keras.Model`, retrained on train + dev.
        backbones: dict from modality to backbone: as given, or trained along where backbones were unfrozen. Empty
            when none were given.
        history: dict of lists of dicts, one an epoch: `fit` (on train: `epoch`, `loss`, `added_loss`, what `dev_scores`
            returns, `learning_rate`, `seconds`) and `retrain` (on train + dev: the same without dev).
        epochs: int. The best epoch of the fit, for which the retraining ran.
        dev_macro_f1: float. Macro F1 on dev at that epoch of the fit and, of multi-label data, at the thresholds.
        dev_average_precision: float. Macro average precision on dev at that epoch of the fit, which chose it.
        thresholds: float array `(classes,)` or None. Of multi-label data the probabilities above which a label is
            given, chosen on dev at that epoch of the fit, which had not seen dev.
        dev_logits: float array `(dev rows, classes)`, of that epoch of the fit, or of the vote.
        members: list of dicts, of several networks that vote, one for each that was fitted: `votes`, 0 for one that is
            left out; of its own fit `epochs`, `dev_loss`, `dev_macro_f1` and `dev_average_precision`;
            `dev_loss_without`, that of the vote of the others, None where there are none; `seconds`. Empty of one
            network alone.
    """

    fusion_network: keras.Model
    backbones: dict[str, keras.Model]
    history: dict[str, list[dict[str, Any]]]
    epochs: int
    dev_macro_f1: float
    dev_average_precision: float
    thresholds: np.ndarray | None
    dev_logits: np.ndarray
    members: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of all epochs of all networks."""
        if self.members:
            return sum(member["seconds"] for member in self.members)
        return sum(epoch["seconds"] for part in self.history.values() for epoch in part)
