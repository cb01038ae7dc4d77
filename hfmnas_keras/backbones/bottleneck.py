"""The residual block of the video backbones."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.backbones.grouped_convolution import GroupedConvolution3D
from hfmnas_keras.cost.layer_rules import multiply_accumulates, output_shape
from hfmnas_keras.layers.normalization import BatchNormalization


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class Bottleneck(keras.layers.Layer):
    """Three convolutions, 1x1x1, 3x3x3 and 1x1x1, with a shortcut (docs/method.md, section 3).

    Convolutions have no bias; batch normalisation follows each, ReLU all but the last, whose sum with the shortcut it
    follows. The shortcut is the input, or a 1x1x1 convolution of it where the shape changes. Paddings and constants are
    those of the published PyTorch networks, so that their weights compute the same here.

    Args:
        inner_filters: int. Channels of the first two convolutions.
        filters: int. Channels of the output.
        strides: three ints. Strides of the 3x3x3 convolution and of the shortcut. Defaults to `(1, 1, 1)`.
        groups: int. Groups of the 3x3x3 convolution (ResNeXt). Defaults to `1`.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`.
        training: bool. Whether the normalisations use the batch. Defaults to `False`.

    Returns:
        Tensor `(batch, frames, height, width, filters)`, smaller by the strides.

    Reference:
     - [He et al., 2016](https://arxiv.org/abs/1512.03385); groups after
       [Xie et al., 2017](https://arxiv.org/abs/1611.05431)
    """

    def __init__(self, inner_filters: Any, filters: int, strides: Any = (1, 1, 1), groups: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        if groups < 1 or inner_filters % groups:
            raise ValueError(
                "`inner_filters` must be a multiple of `groups`. "
                f"Received: inner_filters={inner_filters}, groups={groups}."
            )
        self.inner_filters = inner_filters
        self.filters = filters
        self.strides = tuple(strides)
        self.groups = groups

    def build(self, input_shape: Any) -> None:
        input_shape = tuple(input_shape)
        self.conv1 = _convolution(self.inner_filters, 1, self.dtype_policy, "conv1")
        # PyTorch pads both sides by one; "same" would pad a strided convolution at the end alone.
        self.is_strided = max(self.strides) > 1
        padding = "valid" if self.is_strided else "same"
        if self.groups == 1:
            self.conv2 = _convolution(self.inner_filters, 3, self.dtype_policy, "conv2", self.strides, padding)
        else:
            self.conv2 = GroupedConvolution3D(
                self.inner_filters, 3, self.groups, self.strides, padding, dtype=self.dtype_policy, name="conv2"
            )
        self.conv3 = _convolution(self.filters, 1, self.dtype_policy, "conv3")
        self.bn1, self.bn2, self.bn3 = (trunk_normalization(self.dtype_policy, name) for name in ("bn1", "bn2", "bn3"))
        inner_shape = (*input_shape[:-1], self.inner_filters)
        output_shape = self.compute_output_shape(input_shape)
        strided_shape = (*output_shape[:-1], self.inner_filters)
        for layer, shape in (
            (self.conv1, input_shape),
            (self.bn1, inner_shape),
            (self.conv2, self._padded_shape(inner_shape)),
            (self.bn2, strided_shape),
            (self.conv3, strided_shape),
            (self.bn3, output_shape),
        ):
            layer.build(shape)
        self.has_projection = self.is_strided or input_shape[-1] != self.filters
        if self.has_projection:
            self.shortcut_conv = _convolution(self.filters, 1, self.dtype_policy, "shortcut_conv", self.strides)
            self.shortcut_conv.build(input_shape)
            self.shortcut_bn = trunk_normalization(self.dtype_policy, "shortcut_bn")
            self.shortcut_bn.build(output_shape)
        # Keras tells only the layers that are there when `trainable` is set; these have come since.
        for layer in self._flatten_layers(include_self=False):
            layer.trainable = self.trainable

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        hidden = ops.relu(self.bn1(self.conv1(inputs), training=training))
        if self.is_strided:
            hidden = ops.pad(hidden, [[0, 0], [1, 1], [1, 1], [1, 1], [0, 0]])
        hidden = ops.relu(self.bn2(self.conv2(hidden), training=training))
        hidden = self.bn3(self.conv3(hidden), training=training)
        shortcut = inputs
        if self.has_projection:
            shortcut = self.shortcut_bn(self.shortcut_conv(inputs), training=training)
        return ops.relu(hidden + shortcut)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "inner_filters": self.inner_filters,
                "filters": self.filters,
                "strides": list(self.strides),
                "groups": self.groups,
            }
        )
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        sides = [
            None if side is None else -(-side // stride)
            for side, stride in zip(input_shape[1:4], self.strides, strict=True)
        ]
        return (input_shape[0], *sides, self.filters)

    def multiply_accumulates(self, shape: Any) -> int:
        inner = (*shape[:-1], self.inner_filters)
        padded = tuple(side + 2 for side in inner[:-1]) if self.is_strided else inner[:-1]
        output = output_shape(self, shape)
        total = multiply_accumulates(self.conv1, shape)
        total += multiply_accumulates(self.conv2, (*padded, self.inner_filters))
        total += multiply_accumulates(self.conv3, (*output[:-1], self.inner_filters))
        return total + (multiply_accumulates(self.shortcut_conv, shape) if self.has_projection else 0)

    def _padded_shape(self, shape: Any) -> Any:
        if not self.is_strided:
            return shape
        return (shape[0], *(None if side is None else side + 2 for side in shape[1:4]), shape[-1])


def trunk_normalization(dtype: Any, name: str) -> Any:
    """Batch normalisation with the constants of PyTorch, whose momentum .1 is Keras's .9."""
    return BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype, name=name)


def _convolution(
    filters: int, kernel_size: Any, dtype: Any, name: str, strides: Any = (1, 1, 1), padding: str = "same"
) -> Any:
    return keras.layers.Conv3D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        dtype=dtype,
        name=name,
    )
