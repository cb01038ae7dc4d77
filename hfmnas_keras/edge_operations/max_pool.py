from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.edge_operations.edge_operation_base import EdgeOperation
from hfmnas_keras.layers.depthwise import kernel_extents
from hfmnas_keras.layers.normalization import batch_normalization


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class MaxPool(EdgeOperation):
    """The largest of each 3x3 neighbourhood, then batch normalisation (`max_pool_3x3` in HF-MNAS, Eq. 10).

    Padding never wins. Only weights: those of `normalization`.

    Args:
        channels, affine: see `EdgeOperation`.
        size: int. Extent of the neighbourhood, odd. Defaults to `3`.

    Call arguments:
        inputs: tensor of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Example:
    >>> tuple(MaxPool(channels=8)(np.ones((2, 4, 4, 8))).shape)
    (2, 4, 4, 8)
    """

    def __init__(self, channels: int, affine: bool = True, size: int = 3, **kwargs: Any):
        super().__init__(channels=channels, affine=affine, **kwargs)
        self.size = size

    def build_operation(self, height, width):
        self.pool_size = kernel_extents(height, width, self.size)
        self.normalization = batch_normalization(self.affine, self.dtype_policy, "normalization")
        self.normalization.build((None, height, width, self.channels))

    def call(self, inputs, training=None):
        pooled = ops.max_pool(inputs, self.pool_size, strides=1, padding="same")
        return self.normalization(pooled, training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}
