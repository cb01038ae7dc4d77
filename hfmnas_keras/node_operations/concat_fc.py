from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates
from hfmnas_keras.layers.normalization import batch_normalization
from hfmnas_keras.layers.positions import per_position
from hfmnas_keras.node_operations.node_operation_base import NodeOperation


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class ConcatFC(NodeOperation):
    """Concatenates the channels and projects them: ReLU(BN(Dense([x1; x2]))) (HF-MNAS, Eq. 11-23).

    Weights: `dense/kernel (2 * channels, channels)`, rows of x1 first, no bias before the batch normalisation;
    `batch_normalization`, `normalization`.

    Arguments and shapes are those of `NodeOperation`.

    Example:
    >>> tuple(ConcatFC(channels=8)([np.ones((2, 4, 4, 8))] * 2).shape)
    (2, 4, 4, 8)
    """

    def build_fusion(self, height: Any, width: Any) -> None:
        self.dense = keras.layers.Dense(self.channels, use_bias=False, dtype=self.dtype_policy, name="dense")
        self.dense.build((None, 2 * self.channels))
        self.batch_normalization = batch_normalization(self.affine, self.dtype_policy, "batch_normalization")
        self.batch_normalization.build((None, height, width, self.channels))

    def fuse(self, first: Any, second: Any, training: bool | None = None) -> Any:
        projected = per_position(self.dense, ops.concatenate([first, second], axis=-1))
        return ops.relu(self.batch_normalization(projected, training=training))

    def multiply_accumulates(self, shapes: Any) -> int:
        return multiply_accumulates(self.dense, (*shapes[0][:-1], 2 * shapes[0][-1]))
