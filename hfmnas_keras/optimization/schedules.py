"""Learning rates by step, and the order of the two kinds of step."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from hfmnas_keras.settings.search import ALTERNATIONS


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class CosineWithRestarts(keras.optimizers.schedules.LearningRateSchedule):
    """Cosine annealing with warm restarts, in whole steps (docs/method.md, section 7).

    Cycle k has `first_cycle * 2**k` steps; its first step has the full rate. Cycles are counted in integers: a cycle
    given in epochs of a fractional number of batches would drift and, tested for equality, never restart.

    Args:
        maximum, minimum: floats. Rates at the start and at the end of a cycle.
        first_cycle: int. Steps of the first cycle.
        total_steps: int. Steps of the whole run; a last cycle that does not fit is cut off.

    Reference:
     - [Loshchilov and Hutter, 2017](https://arxiv.org/abs/1608.03983)
    """

    def __init__(self, maximum: float, minimum: float, first_cycle: int, total_steps: int):
        super().__init__()
        if first_cycle < 1 or total_steps < 1:
            raise ValueError(
                f"`first_cycle` and `total_steps` must be at least 1 step. Received: {first_cycle}, {total_steps}."
            )
        if not 0 <= minimum <= maximum:
            raise ValueError(f"Need 0 <= minimum <= maximum. Received: minimum={minimum}, maximum={maximum}.")
        self.maximum = maximum
        self.minimum = minimum
        self.first_cycle = int(first_cycle)
        self.total_steps = int(total_steps)
        self._starts = [0]
        self._lengths = [self.first_cycle]
        while self._starts[-1] + self._lengths[-1] < self.total_steps:
            self._starts.append(self._starts[-1] + self._lengths[-1])
            self._lengths.append(self._lengths[-1] * 2)

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "int32")
        starts = ops.convert_to_tensor(self._starts, dtype="int32")
        lengths = ops.convert_to_tensor(self._lengths, dtype="int32")
        cycle = ops.sum(ops.cast(ops.greater_equal(step, starts), "int32")) - 1
        position = ops.cast(step - ops.take(starts, cycle), "float32")
        # The clip holds the rate at the minimum should a caller go past `total_steps`.
        fraction = ops.minimum(position / ops.cast(ops.take(lengths, cycle), "float32"), 1.0)
        return self.minimum + 0.5 * (self.maximum - self.minimum) * (1.0 + ops.cos(math.pi * fraction))

    def get_config(self) -> dict[str, Any]:
        return {
            "maximum": self.maximum,
            "minimum": self.minimum,
            "first_cycle": self.first_cycle,
            "total_steps": self.total_steps,
        }


def steps_of_epoch(alternation: str, train_rows: int, dev_rows: int, batch_size: int) -> list[str]:
    """The order of architecture and weight steps within an epoch (Algorithm 1).

    Args:
        alternation: str. `"ratio"`: per batch, an architecture step and then ceil(train/dev) weight steps, so that
            each split is read about once; `"every_step"`: one and one (DARTS); `"phased"`: all weight steps of the
            epoch, then one pass of architecture steps over dev (BM-NAS).
        train_rows, dev_rows, batch_size: ints.

    Returns:
        list of `"architecture"` and `"weights"`.
    """
    weight_steps = -(-train_rows // batch_size)
    if alternation == "phased":
        return ["weights"] * weight_steps + ["architecture"] * -(-dev_rows // batch_size)
    if alternation not in ALTERNATIONS:
        raise ValueError(f"`alternation` must be one of {ALTERNATIONS}. Received: {alternation!r}.")
    ratio = 1 if alternation == "every_step" else -(-train_rows // dev_rows)
    order: list[str] = []
    for step in range(weight_steps):
        if step % ratio == 0:
            order.append("architecture")
        order.append("weights")
    return order
