from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates
from hfmnas_keras.node_operations.node_operation_base import NodeOperation


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class SqueezeExcitation(NodeOperation):
    """Weighs the channels of the second grid by what the first one holds on average (HF-MNAS, Eq. 17-18).

    E = sigmoid(Dense(mean of x1 over the positions)); E * x2. Eq. 17 and 18 both multiply by x2; once is meant.

    Weights: `dense/kernel (channels, channels)` (in, out), `dense/bias (channels,)`, `normalization`.

    Arguments and shapes are those of `NodeOperation`.

    Example:
    >>> tuple(SqueezeExcitation(channels=8)([np.ones((2, 4, 4, 8))] * 2).shape)
    (2, 4, 4, 8)
    """

    def build_fusion(self, height: Any, width: Any) -> None:
        self.dense = keras.layers.Dense(self.channels, activation="sigmoid", dtype=self.dtype_policy, name="dense")
        self.dense.build((None, self.channels))

    def fuse(self, first: Any, second: Any, training: bool | None = None) -> Any:
        excitation = self.dense(ops.mean(first, axis=(1, 2)))
        return excitation[:, None, None, :] * second

    def multiply_accumulates(self, shapes: Any) -> int:
        return multiply_accumulates(self.dense, (shapes[0][-1],))
