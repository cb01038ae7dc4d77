"""Work on the positions of a grid, height and width flattened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops


def per_position(function: Callable[[Any], Any], grid: Any) -> Any:
    """Applies a map of rows `(rows, channels) -> (rows, outputs)` to every position of a grid.

    The rows are one matrix, so that a Dense is one plain matrix product, and so is the gradient of its kernel. Left
    to itself, a product of a grid and a matrix is a batch of small products whose kernel gradients are then summed.

    Args:
        function: callable on a tensor of shape `(rows, channels)`.
        grid: tensor of shape `(batch, ..., channels)`, all axes but the batch known.

    Returns:
        Tensor of shape `(batch, ..., outputs)`.
    """
    rows = function(ops.reshape(grid, (-1, grid.shape[-1])))
    return ops.reshape(rows, (-1, *grid.shape[1:-1], rows.shape[-1]))


def project_positions(grid: Any, kernel: Any) -> Any:
    """Multiplies the channels of every position with a kernel `(channels, outputs)`; see `per_position`."""

    def project(rows: Any) -> Any:
        return ops.matmul(rows, kernel)

    return per_position(project, grid)
