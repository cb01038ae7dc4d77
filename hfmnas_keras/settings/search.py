"""Settings of the architecture search (docs/method.md, section 7)."""

from __future__ import annotations

import dataclasses

from hfmnas_keras.settings.checks import require, require_devices
from hfmnas_keras.settings.execution import execution_field
from hfmnas_keras.settings.race import STRATEGIES, RaceSettings

ALTERNATIONS = ("ratio", "every_step", "phased")
SELECTIONS = ("last", "best_supernet", "best_discretised")
DECAYS = ("decoupled", "coupled")
CLASS_WEIGHTS = ("none", "balanced", "sqrt")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16", "auto")


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """The bilevel search (Eq. 29-30, Algorithm 1; method section 7), or another way to find a genotype.

    Args:
        strategy: str. `"bilevel"` (default); or candidates are trained, each alone: `"race"` (successive halving),
            `"evolution"` or `"random"`. These read, of what follows, width, batch size, rates and decay of the weights,
            `class_weights`, `checkpoint_seconds`, `device_bytes`, `deterministic` and `seed`.
        race: `RaceSettings` of those strategies.
        minutes: float or None. With those strategies: train as many candidates as fit. `None` (default):
            `race.candidates`.
        channels: int. Width of the supernet, which may be smaller than the final model's. Defaults to `64`.
        partial_channels: int. K: while searching, 1/K of the channels of each edge passes its operations (PC-DARTS, see
            `MixedEdges`), at less time and memory. There are no dev scores of the discretised model then: its
            operations are K times as wide, and no weights of the supernet fit. Defaults to `1`: all channels.
        epochs: int. Passes over the train split. Defaults to `31`, with which a cosine cycle ends.
        batch_size: int. Rows a step. Defaults to `8`.
        learning_rate, min_learning_rate: floats. Cosine with warm restarts per batch for the weights.
        first_cycle_epochs: int. Length of the first cosine cycle; each next one is twice as long. Defaults to `1`: a
            cycle ends after 1, 3, 7, 15, 31 epochs.
        weight_decay: float. On weights but not on norms, biases and node importance. Defaults to `0.1`; the paper's
            presets have `4e-3`, coupled.
        architecture_learning_rate: float or None. Adam rate of gamma and beta. `None` (default) sets the rate for
            which rate times steps, the farthest a logit can travel, is `travel`. The paper's presets say `3e-4`.
        travel: float. See above. Defaults to `12.0`, which makes distributions so sharp that the discretised model
            keeps most of the supernet's score; with `3.0` it keeps a third.
        architecture_weight_decay: float. On gamma and beta. Defaults to `0`; the paper's presets have `1e-3`, coupled.
        decay: str. Form of both decays: `"decoupled"` (default, AdamW: each step takes rate times decay of a weight
            away) or `"coupled"` (the paper's: added to the gradient, divided by the labels of multi-label data), see
            `WeightDecay`.
        class_weights: str. How rare classes count in both task losses: `"none"` (default), `"balanced"` as much as
            frequent ones, or `"sqrt"`, half way, see `hfmnas_keras.optimization.class_weights`.
        alternation: str. `"ratio"` (default: one architecture step per ceil(train/dev) weight steps), `"every_step"`
            (DARTS) or `"phased"` (BM-NAS, by epoch).
        second_order: bool. Differentiate the dev loss through one gradient step of the weights (DARTS, unrolled), at
            three to four times the cost of an architecture step. Defaults to `False`.
        look_ahead_rate: float or None. Rate of that step. `None` (default): the weights' rate at that moment, as in
            DARTS. Only with `second_order`.
        discretised_every: int. After each so many epochs, and after the last, the model of the present genotype with
            the supernet's weights is scored on dev. It changes nothing in the search. `0`: never. Defaults to `1`.
        stop_when_stable: int or None. End the search once so many epochs in a row, 2 or more, ended in the same choices
            and the same kept nodes. Rates and cycles stay those of `epochs`. Defaults to `None`: never.
        select: str. Whose epoch's genotype is the result: `"last"` (default), or that of the best macro F1 on dev, of
            the supernet (`"best_supernet"`, the paper's) or of the discretised model (`"best_discretised"`, of the
            epochs that `discretised_every` scores); the later one among equals.
        checkpoint_seconds: float. A checkpoint is written when this time has passed since the last one, and after
            each epoch. Defaults to `30`.
        deterministic: bool. Make TensorFlow's operations deterministic (a setting of the whole process), so that the
            same seed on the same machine gives the same search bit for bit. Defaults to `True`.
        precision: str. What the supernet computes in: `"float32"` (default), `"mixed_float16"`, `"mixed_bfloat16"`
            (weights and the DCCA loss stay in float32), or `"auto"`: mixed where the GPU is fast in it.
        device_bytes: int. Features of a split that take more are not put on the device as a whole but streamed to it,
            batch by batch. It changes no result. Defaults to 4 GiB.
        devices: `"all"` or int. On how many a step is computed, each with its part of the batch, see `DataParallel`:
            all GPUs that TensorFlow sees, or one CPU (default), or so many. It changes a result by rounding and in the
            masks of dropout alone.
        seed: int. Of the weights and of the batches' order. Defaults to `0`.
    """

    strategy: str = "bilevel"
    race: RaceSettings = RaceSettings()
    minutes: float | None = None
    channels: int = 64
    partial_channels: int = 1
    epochs: int = 31
    batch_size: int = 8
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-6
    first_cycle_epochs: int = 1
    weight_decay: float = 0.1
    architecture_learning_rate: float | None = None
    travel: float = 12.0
    architecture_weight_decay: float = 0.0
    decay: str = "decoupled"
    class_weights: str = "none"
    alternation: str = "ratio"
    second_order: bool = False
    look_ahead_rate: float | None = None
    discretised_every: int = 1
    stop_when_stable: int | None = None
    select: str = "last"
    checkpoint_seconds: float = execution_field(30.0)
    deterministic: bool = True
    precision: str = "float32"
    device_bytes: int = execution_field(4 << 30)
    devices: int | str = execution_field("all")
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.race, dict):
            # From JSON.
            object.__setattr__(self, "race", RaceSettings(**self.race))
        require(self.strategy in STRATEGIES, "strategy", self.strategy, f"one of {STRATEGIES}")
        require(self.minutes is None or self.minutes > 0, "minutes", self.minutes, "above 0, or None")
        if self.strategy == "bilevel" and self.minutes is not None:
            raise ValueError(
                "`minutes` bounds the strategies that train candidates. Received: "
                f"minutes={self.minutes}, strategy='bilevel'. Set `epochs`, or another strategy."
            )
        require(
            self.partial_channels >= 1 and self.channels % self.partial_channels == 0,
            "partial_channels",
            self.partial_channels,
            f"a divisor of channels={self.channels}",
        )
        require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        require(self.first_cycle_epochs >= 1, "first_cycle_epochs", self.first_cycle_epochs, "at least 1")
        require(self.alternation in ALTERNATIONS, "alternation", self.alternation, f"one of {ALTERNATIONS}")
        require(self.precision in PRECISIONS, "precision", self.precision, f"one of {PRECISIONS}")
        require(self.device_bytes >= 0, "device_bytes", self.device_bytes, "0 (stream all) or more")
        require_devices(self.devices)
        require(
            0 <= self.min_learning_rate <= self.learning_rate,
            "min_learning_rate",
            self.min_learning_rate,
            f"from 0 to learning_rate={self.learning_rate}",
        )
        rate = self.architecture_learning_rate
        require(rate is None or rate > 0, "architecture_learning_rate", rate, "above 0, or None")
        require(self.travel > 0, "travel", self.travel, "above 0")
        require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        decay = self.architecture_weight_decay
        require(decay >= 0, "architecture_weight_decay", decay, "0 or more")
        require(self.class_weights in CLASS_WEIGHTS, "class_weights", self.class_weights, f"one of {CLASS_WEIGHTS}")
        require(self.decay in DECAYS, "decay", self.decay, f"one of {DECAYS}")
        require(self.discretised_every >= 0, "discretised_every", self.discretised_every, "0 (never) or more")
        stable = self.stop_when_stable
        require(stable is None or stable >= 2, "stop_when_stable", stable, "at least 2 epochs, or None")
        require(self.select in SELECTIONS, "select", self.select, f"one of {SELECTIONS}")
        if self.select == "best_discretised" and not self.discretised_every:
            raise ValueError(
                "`select` looks at the dev scores of the discretised model, which are not computed. "
                "Received: select='best_discretised', discretised_every=0. Set `discretised_every` to 1."
            )
        if self.select == "best_discretised" and self.partial_channels > 1:
            raise ValueError(
                "`select` looks at dev scores of the discretised model, which a search on partial channels has not. "
                f"Received: select='best_discretised', partial_channels={self.partial_channels}. Set `select: last`."
            )
        if self.look_ahead_rate is not None:
            require(self.look_ahead_rate > 0, "look_ahead_rate", self.look_ahead_rate, "above 0, or None")
            if not self.second_order:
                raise ValueError(
                    "`look_ahead_rate` is the rate of the second-order look-ahead and is not read without it. "
                    f"Received: look_ahead_rate={self.look_ahead_rate}, second_order=False. Set `second_order: true`."
                )
