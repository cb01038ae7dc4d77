"""A unimodal feature as a grid of the fusion network's width (HF-MNAS, section III-D)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates
from hfmnas_keras.layers.normalization import batch_normalization
from hfmnas_keras.layers.positions import per_position
from hfmnas_keras.settings.fusion import VECTOR_TO_GRID


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class FeatureGrid(keras.layers.Layer):
    """Brings a feature, map or vector, into a grid of C channels: projection, BN, ReLU, dropout.

    A map is projected by a 1x1 convolution and must already have the grid's height and width: the adaptive pooling
    that gives it those has no weights and is done once, by the backbone. A vector becomes a grid by `"project"`, one
    Dense layer to all positions and channels, which gives real positions; or by `"tile"`, the same projection at
    every position (as BM-NAS).

    Args:
        channels: int. Channels C of the grid.
        grid: pair of ints. Height and width. Defaults to `(4, 4)`.
        vector_to_grid: str. `"project"` (default) or `"tile"`.
        dropout: float. Defaults to `0.1`.

    Call arguments:
        inputs: tensor `(batch, height, width, any width)` or `(batch, any width)`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Reference:
     - [Long et al., 2025, Eq. 6-9]; docs/method.md, section 3
    """

    def __init__(
        self, channels: int, grid: Any = (4, 4), vector_to_grid: str = "project", dropout: float = 0.1, **kwargs: Any
    ):
        super().__init__(**kwargs)
        if vector_to_grid not in VECTOR_TO_GRID:
            raise ValueError(f"`vector_to_grid` must be one of {VECTOR_TO_GRID}. Received: {vector_to_grid!r}.")
        if channels < 1 or len(grid) != 2 or min(grid) < 1:
            raise ValueError(
                f"`channels` and both sizes of `grid` must be at least 1. Received: channels={channels}, grid={grid}."
            )
        self.channels = channels
        self.grid = tuple(grid)
        self.vector_to_grid = vector_to_grid
        self.dropout = dropout

    def build(self, input_shape: Any) -> None:
        self._check_shape(input_shape)
        height, width = self.grid
        is_projected_vector = len(input_shape) == 2 and self.vector_to_grid == "project"
        # The normalisation that follows has the bias.
        self.projection = keras.layers.Dense(
            height * width * self.channels if is_projected_vector else self.channels,
            use_bias=False,
            dtype=self.dtype_policy,
            name="projection",
        )
        self.projection.build(input_shape)
        output_shape = self.compute_output_shape(input_shape)
        self.norm = batch_normalization(affine=True, dtype=self.dtype_policy, name="norm")
        self.norm.build(output_shape)
        self.output_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="output_dropout")
        self.output_dropout.build(output_shape)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        height, width = self.grid
        outputs = per_position(self.projection, inputs)
        if len(inputs.shape) == 2 and self.vector_to_grid == "tile":
            outputs = ops.tile(outputs[:, None, None, :], (1, height, width, 1))
        outputs = ops.reshape(outputs, (-1, height, width, self.channels))
        outputs = ops.relu(self.norm(outputs, training=training))
        return self.output_dropout(outputs, training=training)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "channels": self.channels,
                "grid": list(self.grid),
                "vector_to_grid": self.vector_to_grid,
                "dropout": self.dropout,
            }
        )
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], *self.grid, self.channels)

    def multiply_accumulates(self, shape: Any) -> int:
        return multiply_accumulates(self.projection, shape)

    def _check_shape(self, input_shape: Any) -> None:
        is_vector = len(input_shape) == 2
        is_map = len(input_shape) == 4 and tuple(input_shape[1:3]) == self.grid
        if not (is_vector or is_map):
            raise ValueError(
                f"`FeatureGrid` needs a vector (batch, any) or a map {('batch', *self.grid, 'any')}. "
                f"Received: {tuple(input_shape)}. Pool a map of another size first, with `AdaptiveMaxPool`."
            )
