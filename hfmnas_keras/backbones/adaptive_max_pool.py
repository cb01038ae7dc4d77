"""Max pooling to a grid of a given size, from a map of any size."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class AdaptiveMaxPool(keras.layers.Layer):
    """Max pooling whose output size is given (docs/method.md, section 3).

    Bin i of n over a side of length s covers `floor(i * s / n)` up to `ceil((i + 1) * s / n)`; bins overlap where n
    does not divide s, and repeat cells where the map is smaller than the grid.

    Args:
        grid: pair of ints. Height and width of the output.

    Call arguments:
        inputs: tensor `(batch, height, width, channels)` with known height and width.

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
        height, width = inputs.shape[1:3]
        # Over a rectangle is over its rows, then over its columns.
        rows = [self.reduce(inputs[:, start:stop], 1) for start, stop in _bins(height, self.grid[0])]
        pooled = ops.stack(rows, axis=1)
        columns = [self.reduce(pooled[:, :, start:stop], 2) for start, stop in _bins(width, self.grid[1])]
        return ops.stack(columns, axis=2)

    def reduce(self, cells: Any, axis: Any) -> Any:
        """What a bin makes of its cells, along one axis."""
        return ops.max(cells, axis=axis)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"grid": self.grid})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        if len(input_shape) != 4 or None in input_shape[1:3]:
            raise ValueError(f"`{type(self).__name__}` needs a map of known size. Received shape: {input_shape}.")
        return (input_shape[0], *self.grid, input_shape[-1])


def _bins(side: Any, count: Any) -> Any:
    return [(index * side // count, -(-(index + 1) * side // count)) for index in range(count)]
