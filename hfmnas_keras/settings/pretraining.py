"""Settings of pre-training and cross-fitting (docs/method.md, section 3)."""

from __future__ import annotations

import dataclasses

from hfmnas_keras.settings.checks import require
from hfmnas_keras.settings.search import CLASS_WEIGHTS


@dataclasses.dataclass(frozen=True)
class PretrainingSettings:
    """Training of the unimodal heads and cross-fitting of the features (method section 3).

    Args:
        max_epochs: int. Epochs of every head. Defaults to `30`, in which the learning rate falls to nothing, by half a
            cosine.
        class_weights: str. How rare classes count in the loss: `"sqrt"` (default), `"balanced"` or `"none"`, see
            `hfmnas_keras.optimization.class_weights`.
        batch_size: int. Rows a step. Defaults to `32`.
        learning_rate: float. Of Adam, where the backbone says none of its own. Defaults to `1e-3`.
        weight_decay: float. Decoupled (AdamW), on kernels alone. Defaults to `1e-2`.
        folds: int. Folds of the cross-fitting: features of a training row come from a backbone fitted without it.
            `0` turns it off. Modalities whose taps have seen no label of this data are never cross-fitted.
        align_folds: bool. Map every fold's taps onto the reference's by ridge regression on the dev rows, which
            neither was fitted on. Defaults to `True`.
        seed: int. Of the weights, the batches and the folds. Defaults to `0`.
    """

    max_epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    class_weights: str = "sqrt"
    folds: int = 5
    align_folds: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.max_epochs >= 1, "max_epochs", self.max_epochs, "at least 1")
        require(self.class_weights in CLASS_WEIGHTS, "class_weights", self.class_weights, f"one of {CLASS_WEIGHTS}")
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        require(self.folds == 0 or self.folds >= 2, "folds", self.folds, "0 (off) or at least 2")
