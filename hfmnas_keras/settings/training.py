"""Settings of the final training (docs/method.md, section 7)."""

from __future__ import annotations

import dataclasses

from hfmnas_keras.settings.checks import require, require_devices
from hfmnas_keras.settings.execution import execution_field
from hfmnas_keras.settings.search import CLASS_WEIGHTS, DECAYS, PRECISIONS

THRESHOLDS = ("fixed", "dev", "per_class")
HEAD_SHARES = ("none", "dev")


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Training of a searched model: fit on train with dev watched, then retrain on both (method section 7).

    Args:
        max_epochs: int. Most epochs of the first fit; the best one on dev fixes the epochs of the second.
        patience: int. Epochs without a better dev average precision, each taken with its two neighbours, after which
            the first fit stops.
        batch_size: int. Rows a step. Defaults to `8`.
        learning_rate, min_learning_rate: floats. Cosine decay over the fit.
        weight_decay: float. On weights but not on norms, biases and node importance. Decoupled, 0.1 / (steps an epoch
            * learning_rate) was best, a tenth of a weight an epoch. Defaults to `0.3`: that for 330 steps an epoch.
        decay: str. As in the search.
        unfreeze_backbones: bool. Train the backbones too (the paper's way) or, `False`, the fusion network on
            cached features.
        backbone_rate: float. Learning rate of unfrozen backbones as a share of `learning_rate`: they are pre-trained
            and a trunk without batch normalisation does not survive the full rate. Defaults to `0.1`.
        head_weight: float. Weight of the unimodal heads' task loss while backbones are unfrozen: without it the
            heads, whose evidence is served, would be left behind by the features they read. Defaults to `0.1`.
        class_weights: str. As in the search.
        label_smoothing: float. Defaults to `0`.
        threshold: str. From what probability on a label is given, in multi-label data: `"fixed"`, as the run's gate
            says; `"dev"`, one for all labels, chosen on dev; `"per_class"` (default), one for each, drawn towards that
            one, see `hfmnas_keras.evidence.thresholds`. It travels with the model.
        head_shares: str. What of the answer is the unimodal heads' own: `"dev"` (default), a share of the logits for
            each, at most half in all, chosen by average precision on dev, where backbones are frozen; `"none"`,
            nothing. Studies compare the networks alone.
        deterministic: bool. As in the search. Defaults to `True`.
        precision: str. What the fusion network computes in while it trains, as in the search; the trained model, and
            backbones, compute in float32. Defaults to `"float32"`.
        device_bytes: int. As in the search.
        devices: `"all"` or int. As in the search.
        seed: int. Of the weights and of the batches' order. Defaults to `0`.
    """

    max_epochs: int = 30
    patience: int = 10
    batch_size: int = 8
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-6
    weight_decay: float = 0.3
    decay: str = "decoupled"
    unfreeze_backbones: bool = True
    backbone_rate: float = 0.1
    head_weight: float = 0.1
    class_weights: str = "none"
    label_smoothing: float = 0.0
    threshold: str = "per_class"
    head_shares: str = "dev"
    deterministic: bool = True
    precision: str = "float32"
    device_bytes: int = execution_field(4 << 30)
    devices: int | str = execution_field("all")
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.precision in PRECISIONS, "precision", self.precision, f"one of {PRECISIONS}")
        require(self.device_bytes >= 0, "device_bytes", self.device_bytes, "0 (stream all) or more")
        require_devices(self.devices)
        require(
            0 <= self.min_learning_rate <= self.learning_rate,
            "learning_rate",
            self.learning_rate,
            f"at least min_learning_rate={self.min_learning_rate}, and that at least 0",
        )
        require(self.max_epochs >= 1, "max_epochs", self.max_epochs, "at least 1")
        require(self.patience >= 1, "patience", self.patience, "at least 1")
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        require(self.class_weights in CLASS_WEIGHTS, "class_weights", self.class_weights, f"one of {CLASS_WEIGHTS}")
        require(self.threshold in THRESHOLDS, "threshold", self.threshold, f"one of {THRESHOLDS}")
        require(self.head_shares in HEAD_SHARES, "head_shares", self.head_shares, f"one of {HEAD_SHARES}")
        require(self.decay in DECAYS, "decay", self.decay, f"one of {DECAYS}")
        require(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "in [0, 1)")
        require(self.backbone_rate >= 0, "backbone_rate", self.backbone_rate, "0 or more")
        require(self.head_weight >= 0, "head_weight", self.head_weight, "0 or more")
