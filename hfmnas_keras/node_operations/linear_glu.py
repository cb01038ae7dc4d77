from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates
from hfmnas_keras.layers.positions import per_position
from hfmnas_keras.node_operations.node_operation_base import NodeOperation


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class LinearGLU(NodeOperation):
    """Fuses two grids with a gated linear unit: (x1 W1) * sigmoid(x2 W2) (HF-MNAS, Eq. 20).

    The second input decides, element by element, how much of the first passes.

    Weights: `value/kernel (channels, channels)` and `gate/kernel (channels, channels)` (in, out), no bias as in the
    equation, and `normalization`.

    Arguments and shapes are those of `NodeOperation`.

    Example:
    >>> tuple(LinearGLU(channels=8)([np.ones((2, 4, 4, 8))] * 2).shape)
    (2, 4, 4, 8)

    Reference:
     - gate after [Dauphin et al., 2017](https://arxiv.org/abs/1612.08083)
    """

    def build_fusion(self, height: Any, width: Any) -> None:
        self.value = keras.layers.Dense(self.channels, use_bias=False, dtype=self.dtype_policy, name="value")
        self.value.build((None, self.channels))
        self.gate = keras.layers.Dense(self.channels, use_bias=False, dtype=self.dtype_policy, name="gate")
        self.gate.build((None, self.channels))

    def fuse(self, first: Any, second: Any, training: bool | None = None) -> Any:
        return per_position(self.value, first) * ops.sigmoid(per_position(self.gate, second))

    def multiply_accumulates(self, shapes: Any) -> int:
        return multiply_accumulates(self.value, shapes[0]) + multiply_accumulates(self.gate, shapes[1])
