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
class SeparableConvolution(EdgeOperation):
    """Twice: ReLU, depthwise 3x3, pointwise, batch normalisation (`sep_conv_3x3` in HF-MNAS, Eq. 10).

    Weights of stage s in (1, 2), none of them a bias, with (kh, kw) from `kernel_extents`:
    `depthwise_kernel_s (kh, kw, channels, 1)`, `pointwise_kernel_s (channels, channels)` (in, out),
    `normalization_s`.

    Args:
        channels, affine: see `EdgeOperation`.
        size: int. Taps along an axis, odd. Defaults to `3`.

    Call arguments:
        inputs: tensor of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Example:
    >>> tuple(SeparableConvolution(channels=8)(np.ones((2, 4, 4, 8))).shape)
    (2, 4, 4, 8)
    """

    def __init__(self, channels: int, affine: bool = True, size: int = 3, **kwargs: Any):
        super().__init__(channels=channels, affine=affine, **kwargs)
        self.size = size

    def build_operation(self, height: Any, width: Any) -> None:
        extents = kernel_extents(height, width, self.size)
        self.depthwise_kernels, self.pointwise_kernels, self.normalizations = [], [], []
        for stage in (1, 2):
            self.depthwise_kernels.append(
                self.add_weight(
                    shape=(*extents, self.channels, 1),
                    initializer=depthwise_initializer(extents),
                    name=f"depthwise_kernel_{stage}",
                )
            )
            self.pointwise_kernels.append(
                self.add_weight(
                    shape=(self.channels, self.channels),
                    initializer="glorot_uniform",
                    name=f"pointwise_kernel_{stage}",
                )
            )
            normalization = batch_normalization(self.affine, self.dtype_policy, f"normalization_{stage}")
            normalization.build((None, height, width, self.channels))
            self.normalizations.append(normalization)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = inputs
        for depthwise_kernel, pointwise_kernel, normalization in zip(
            self.depthwise_kernels, self.pointwise_kernels, self.normalizations, strict=True
        ):
            filtered = ops.depthwise_conv(ops.relu(outputs), depthwise_kernel, strides=1, padding="same")
            mixed = project_positions(filtered, pointwise_kernel)
            outputs = normalization(mixed, training=training)
        return outputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}

    def multiply_accumulates(self, shape: Any) -> int:
        return num_positions(shape) * kernel_sizes(*self.depthwise_kernels, *self.pointwise_kernels)
