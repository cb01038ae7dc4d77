"""From the states of a text's tokens to a grid."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class TokenGrid(keras.layers.Layer):
    """Means of the states over equal parts of each text, so that a sequence of any length fills a grid in its order.

    Of a text with n tokens, the k-th of m cells is the mean of tokens `floor(k * n / m)` up to `ceil((k + 1) * n / m)`:
    padding is in no cell, and a text shorter than the grid repeats tokens. A text that is all padding gives zeros.

    Args:
        grid: pair of ints. Height and width of the output; cells follow each other row by row.

    Call arguments:
        inputs: pair of a float tensor `(batch, tokens, channels)` and an int tensor `(batch, tokens)`, 0 being padding,
            which stands behind the text.

    Returns:
        Tensor `(batch, *grid, channels)`.
    """

    multiply_accumulates = no_products

    def __init__(self, grid: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.grid = tuple(int(side) for side in grid)
        if len(self.grid) != 2 or min(self.grid) < 1:
            raise ValueError(f"`grid` must be two positive ints. Received: {grid}.")

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        states, tokens = inputs
        height, width = self.grid
        # (batch, 1, 1)
        lengths = ops.sum(ops.cast(ops.not_equal(tokens, 0), "int32"), axis=1)[:, None, None]
        cells = ops.arange(height * width, dtype="int32")[None, :, None]
        # (batch, 1, tokens); texts may be cut off, so that their length is known when they come.
        positions = (ops.cumsum(ops.ones_like(tokens, dtype="int32"), axis=1) - 1)[:, None, :]
        start = cells * lengths // (height * width)
        stop = -(-(cells + 1) * lengths // (height * width))
        # (batch, cells, tokens)
        is_inside = ops.cast(ops.logical_and(positions >= start, positions < stop), "float32")
        counts = ops.maximum(ops.sum(is_inside, axis=-1, keepdims=True), 1.0)
        means = ops.matmul(is_inside, ops.cast(states, "float32")) / counts
        return ops.cast(ops.reshape(means, (-1, height, width, states.shape[-1])), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"grid": self.grid})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        states, tokens = input_shape
        if len(states) != 3 or len(tokens) != 2:
            raise ValueError(f"`TokenGrid` needs states of tokens and the tokens. Received shapes: {input_shape}.")
        return (states[0], *self.grid, states[2])
