from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.attention.attention_logits import attention_logits
from hfmnas_keras.cost.layer_rules import multiply_accumulates, num_positions
from hfmnas_keras.layers.positions import per_position, project_positions
from hfmnas_keras.node_operations.node_operation_base import NodeOperation


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class BidirectionalAttention(NodeOperation):
    """Attention both ways with one affinity of the positions (HF-MNAS, Eq. 11-23).

    S = x1 W x2^T / sqrt C; a = softmax(S) x2, b = softmax(S^T) x1; Dense([a; b]).

    Weights: `affinity_kernel (channels, channels)` (channels of x1, of x2), `dense/kernel (2 * channels, channels)`,
    `dense/bias (channels,)`, `normalization`.

    Arguments and shapes are those of `NodeOperation`.

    Example:
    >>> tuple(BidirectionalAttention(channels=8)([np.ones((2, 4, 4, 8))] * 2).shape)
    (2, 4, 4, 8)
    """

    def build_fusion(self, height: Any, width: Any) -> None:
        self.num_positions = height * width
        self.affinity_kernel = self.add_weight(
            shape=(self.channels, self.channels), initializer="glorot_uniform", name="affinity_kernel"
        )
        self.dense = keras.layers.Dense(self.channels, dtype=self.dtype_policy, name="dense")
        self.dense.build((None, 2 * self.channels))

    def fuse(self, first: Any, second: Any, training: bool | None = None) -> Any:
        # (batch, positions, channels)
        rows_1, rows_2 = (ops.reshape(grid, (-1, self.num_positions, self.channels)) for grid in (first, second))
        queries = project_positions(rows_1, self.affinity_kernel)
        # (batch, positions of the first, positions of the second)
        affinity = attention_logits("bqc,bkc->bqk", queries, rows_2)
        scores_1, scores_2 = (ops.cast(ops.softmax(affinity, axis=axis), rows_1.dtype) for axis in (-1, -2))
        attended_1 = ops.einsum("bqk,bkc->bqc", scores_1, rows_2)
        attended_2 = ops.einsum("bqk,bqc->bkc", scores_2, rows_1)
        fused = per_position(self.dense, ops.concatenate([attended_1, attended_2], axis=-1))
        return ops.reshape(fused, (-1, *first.shape[1:]))

    def multiply_accumulates(self, shapes: Any) -> int:
        positions, channels = num_positions(shapes[0]), shapes[0][-1]
        queries = positions * channels * channels
        # One affinity, two ways of attending.
        attention = 3 * positions * positions * channels
        return queries + attention + multiply_accumulates(self.dense, (positions, 2 * channels))
