"""Convolutions in groups that need no XLA."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import num_positions, output_shape

# Channels that one convolution computes together: the fastest of 32, 64, 128 and all, forward and backward, on a CPU.
CHUNK = 32


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class GroupedConvolution3D(keras.layers.Layer):
    """A convolution whose groups of channels do not see each other, without bias (docs/method.md, section 3).

    The same function and the same kernel as `keras.layers.Conv3D(groups=...)`, which TensorFlow 2.16 can only compute
    by XLA on a CPU, at 2 to 50 times the cost of this form. Here neighbouring groups are put together to chunks
    of about 32 channels; each chunk is an ordinary convolution with a block-diagonal kernel.

    Args:
        filters: int. Channels of the output, a multiple of `groups`.
        kernel_size: int. Side of the kernel in time, height and width.
        groups: int. Number of groups.
        strides: int or three ints. Defaults to `1`.
        padding: str. `"valid"` or `"same"`. Defaults to `"same"`.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`; channels are a multiple of `groups`.

    Returns:
        Tensor `(batch, frames, height, width, filters)`, smaller by the strides.

    Raises:
        ValueError: when filters or channels do not divide into the groups.
    """

    rank = 3

    def __init__(
        self, filters: int, kernel_size: Any, groups: int, strides: Any = 1, padding: str = "same", **kwargs: Any
    ):
        super().__init__(**kwargs)
        if groups < 1 or filters % groups:
            raise ValueError(f"`filters` must be a multiple of `groups`. Received: filters={filters}, groups={groups}.")
        self.filters = filters
        self.kernel_size = kernel_size
        self.groups = groups
        self.strides = (strides,) * self.rank if isinstance(strides, int) else tuple(strides)
        self.padding = padding

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        if channels % self.groups:
            raise ValueError(
                f"The input's channels must be a multiple of `groups={self.groups}`. Received shape: {input_shape}."
            )
        group_width = channels // self.groups
        self.kernel = self.add_weight(
            shape=(self.kernel_size,) * self.rank + (group_width, self.filters), initializer="he_normal", name="kernel"
        )
        self.groups_per_chunk = next(
            count for count in range(max(1, min(self.groups, CHUNK // group_width)), 0, -1) if self.groups % count == 0
        )

    def call(self, inputs: Any) -> Any:
        per_chunk, group_filters = self.groups_per_chunk, self.filters // self.groups
        chunks = self.groups // per_chunk
        size, group_width = self.kernel.shape[: self.rank], self.kernel.shape[self.rank]
        # Kernel as (positions, width of a group, chunks, groups of a chunk, filters of a group): block-diagonal by
        # the unit matrix over the groups of a chunk.
        kernel = ops.reshape(self.kernel, (-1, group_width, chunks, per_chunk, group_filters))
        kernel = ops.einsum("kcnpo,qp->nkqcpo", kernel, ops.eye(per_chunk, dtype=kernel.dtype))
        kernels = ops.reshape(kernel, (chunks, *size, per_chunk * group_width, per_chunk * group_filters))
        outputs = [
            ops.conv(part, kernels[index], strides=self.strides, padding=self.padding, data_format="channels_last")
            for index, part in enumerate(ops.split(inputs, chunks, axis=-1))
        ]
        return outputs[0] if chunks == 1 else ops.concatenate(outputs, axis=-1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "filters": self.filters,
                "kernel_size": self.kernel_size,
                "groups": self.groups,
                "strides": list(self.strides),
                "padding": self.padding,
            }
        )
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        sides = [
            None if side is None else -(-(side if self.padding == "same" else side - self.kernel_size + 1) // stride)
            for side, stride in zip(input_shape[1:-1], self.strides, strict=True)
        ]
        return (input_shape[0], *sides, self.filters)

    def multiply_accumulates(self, shape: Any) -> int:
        # By definition: the zeros between the groups of a chunk, which the layer multiplies along, are not counted.
        return num_positions(output_shape(self, shape)) * math.prod(self.kernel.shape)


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class GroupedConvolution2D(GroupedConvolution3D):
    """The same in two dimensions: the function and the kernel of `keras.layers.Conv2D(groups=..., use_bias=False)`.

    With the arguments of `GroupedConvolution3D`; `strides` is an int or two, and inputs and outputs are maps `(batch,
    height, width, channels)`.
    """

    rank = 2
