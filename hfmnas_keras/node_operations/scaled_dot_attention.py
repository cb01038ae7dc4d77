from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.attention.attention_logits import attention_logits
from hfmnas_keras.cost.layer_rules import num_positions
from hfmnas_keras.node_operations.node_operation_base import NodeOperation


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class ScaledDotAttention(NodeOperation):
    """Lets each position of the first grid gather from those of the second (HF-MNAS, Eq. 11-23).

    softmax(x1 x2^T / sqrt C) x2 over the positions. No weights but those of `normalization`.
    Arguments and shapes are those of `NodeOperation`.

    Example:
    >>> tuple(ScaledDotAttention(channels=8)([np.ones((2, 4, 4, 8))] * 2).shape)
    (2, 4, 4, 8)
    """

    def fuse(self, first: Any, second: Any, training: bool | None = None) -> Any:
        # (batch, positions, channels)
        queries, keys = (ops.reshape(grid, (-1, self.num_positions, self.channels)) for grid in (first, second))
        # (batch, positions of the first, positions of the second)
        scores = ops.softmax(attention_logits("bqc,bkc->bqk", queries, keys), axis=-1)
        gathered = ops.matmul(ops.cast(scores, keys.dtype), keys)
        return ops.reshape(gathered, (-1, *first.shape[1:]))

    def build_fusion(self, height: Any, width: Any) -> None:
        self.num_positions = height * width

    def multiply_accumulates(self, shapes: Any) -> int:
        positions, channels = num_positions(shapes[0]), shapes[0][-1]
        # Logits, then what is attended to.
        return 2 * positions * positions * channels
