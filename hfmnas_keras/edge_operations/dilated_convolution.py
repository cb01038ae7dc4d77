from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import kernel_sizes, num_positions
from hfmnas_keras.edge_operations.edge_operation_base import EdgeOperation
from hfmnas_keras.layers.depthwise import depthwise_initializer, kernel_extents
from hfmnas_keras.layers.normalization import batch_normalization
from hfmnas_keras.layers.positions import project_positions


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class DilatedConvolution(EdgeOperation):
    """ReLU, depthwise 3x3 of dilation 2, pointwise, batch normalisation (`dil_conv_3x3` in HF-MNAS, Eq. 10).

    Weights, none of them a bias, with (kh, kw) from `kernel_extents`:
    `depthwise_kernel (kh, kw, channels, 1)`, `pointwise_kernel (channels, channels)` (in, out), `normalization`.

    Args:
        channels, affine: see `EdgeOperation`.
        size: int. Taps along an axis, odd. Defaults to `3`.
        dilation: int. Distance between taps. Defaults to `2`.

    Call arguments:
        inputs: tensor of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Example:
    >>> tuple(DilatedConvolution(channels=8)(np.ones((2, 4, 4, 8))).shape)
    (2, 4, 4, 8)
    """

    def __init__(self, channels: int, affine: bool = True, size: int = 3, dilation: int = 2, **kwargs: Any):
        super().__init__(channels=channels, affine=affine, **kwargs)
        self.size = size
        self.dilation = dilation

    def build_operation(self, height: Any, width: Any) -> None:
        extents = kernel_extents(height, width, self.size, self.dilation)
        self.depthwise_kernel = self.add_weight(
            shape=(*extents, self.channels, 1), initializer=depthwise_initializer(extents), name="depthwise_kernel"
        )
        self.pointwise_kernel = self.add_weight(
            shape=(self.channels, self.channels), initializer="glorot_uniform", name="pointwise_kernel"
        )
        self.normalization = batch_normalization(self.affine, self.dtype_policy, "normalization")
        self.normalization.build((None, height, width, self.channels))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        filtered = ops.depthwise_conv(
            ops.relu(inputs), self.depthwise_kernel, strides=1, padding="same", dilation_rate=self.dilation
        )
        mixed = project_positions(filtered, self.pointwise_kernel)
        return self.normalization(mixed, training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size, "dilation": self.dilation}

    def multiply_accumulates(self, shape: Any) -> int:
        return num_positions(shape) * kernel_sizes(self.depthwise_kernel, self.pointwise_kernel)
