from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.attention.attention_logits import attention_logits
from hfmnas_keras.cost.layer_rules import multiply_accumulates, num_positions
from hfmnas_keras.layers.positions import per_position
from hfmnas_keras.settings.fusion import ATTENTION_VALUES


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class MultiHeadFusionAttention(keras.layers.Layer):
    """Fuses two grids by multi-head attention of each over the positions of the other (HF-MNAS, Eq. 14-15 and 28).

    With queries, keys and values Q_i, K_i, V_i of input i, head by head, and d channels a head:

        head_1 = softmax(Q_1 K_2^T / sqrt d) V_1        head_2 = softmax(Q_2 K_1^T / sqrt d) V_2

    as the paper prints it (`values="query"`); `values="key"` takes the values from where the keys are, V_2 and V_1,
    which is ordinary cross-attention. The 2 * num_heads heads are concatenated, those of input 1 first, and go
    through a Dense.

    Weights: for input i `projection_i/kernel (input channels, 3 * channels)`, columns Q, K, V, each heads by channels
    of a head, no bias; `output_projection/kernel (2 * channels, channels)`, `output_projection/bias (channels,)`.

    Args:
        channels: int. Channels of the output and of all heads of one direction together.
        num_heads: int. Heads of one direction; divides `channels`. Defaults to `4`.
        values: str. `"query"` (default) or `"key"`.

    Call arguments:
        inputs: pair of tensors of shape `(batch, height, width, channels_i)`, or any other number of axes between
            batch and channels, with equally many positions.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Raises:
        ValueError: when heads do not divide the channels, or the grids differ.

    Example:
    >>> tuple(MultiHeadFusionAttention(channels=8)([np.ones((2, 4, 4, 8))] * 2).shape)
    (2, 4, 4, 8)
    """

    def __init__(self, channels: int, num_heads: int = 4, values: str = "query", **kwargs: Any):
        super().__init__(**kwargs)
        if channels < 1 or num_heads < 1 or channels % num_heads:
            raise ValueError(
                f"`channels` must be a positive multiple of `num_heads`. "
                f"Received: channels={channels}, num_heads={num_heads}."
            )
        if values not in ATTENTION_VALUES:
            raise ValueError(f"`values` must be one of {ATTENTION_VALUES}. Received: values={values!r}.")
        self.channels = channels
        self.num_heads = num_heads
        self.values = values

    def build(self, input_shape: Any) -> None:
        first_shape, second_shape = (tuple(shape) for shape in input_shape)
        if first_shape[1:-1] != second_shape[1:-1]:
            raise ValueError(
                f"`MultiHeadFusionAttention` needs two grids of the same size. "
                f"Received: {first_shape} and {second_shape}. Pool the larger one first, with `AdaptiveMaxPool`."
            )
        self.projection_1 = self._projection("projection_1", first_shape[-1])
        self.projection_2 = self._projection("projection_2", second_shape[-1])
        self.output_projection = keras.layers.Dense(self.channels, dtype=self.dtype_policy, name="output_projection")
        self.output_projection.build((None, 2 * self.channels))

    def call(self, inputs: Any) -> Any:
        first, second = inputs
        head_channels = self.channels // self.num_heads
        split = (-1, _num_positions(first), 3, self.num_heads, head_channels)
        # Taken apart and put together by whole tensors: the gradient of a slice would be a tensor of mostly zeros.
        (query_1, key_1, value_1), (query_2, key_2, value_2) = (
            ops.unstack(ops.reshape(per_position(projection, grid), split), num=3, axis=2)
            for projection, grid in ((self.projection_1, first), (self.projection_2, second))
        )
        # (batch, input, positions, heads, head_channels)
        query = ops.stack([query_1, query_2], axis=1)
        # Each direction reads the keys of the other input.
        key = ops.stack([key_2, key_1], axis=1)
        value = ops.stack([value_2, value_1] if self.values == "key" else [value_1, value_2], axis=1)
        # (batch, input, heads, query positions, key positions)
        scores = ops.softmax(attention_logits("bsqhd,bskhd->bshqk", query, key), axis=-1)
        # (batch, positions, input, heads, head_channels)
        heads = ops.einsum("bshqk,bskhd->bqshd", ops.cast(scores, value.dtype), value)
        grid = ops.reshape(heads, (-1, *first.shape[1:-1], 2 * self.channels))
        return per_position(self.output_projection, grid)

    def _projection(self, name: str, input_channels: int) -> keras.layers.Dense:
        projection = keras.layers.Dense(3 * self.channels, use_bias=False, dtype=self.dtype_policy, name=name)
        projection.build((None, input_channels))
        return projection

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "num_heads": self.num_heads,
            "values": self.values,
        }

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[0][:-1], self.channels)

    def multiply_accumulates(self, shapes: Any) -> int:
        positions = num_positions(shapes[0])
        projections = sum(
            multiply_accumulates(projection, shape)
            for projection, shape in zip((self.projection_1, self.projection_2), shapes, strict=True)
        )
        # Two directions, each logits and values; the heads of one together are `channels` wide.
        attention = 2 * 2 * positions * positions * self.channels
        return projections + attention + multiply_accumulates(self.output_projection, (positions, 2 * self.channels))


def _num_positions(grid: Any) -> int:
    positions = 1
    for size in grid.shape[1:-1]:
        positions *= size
    return positions
