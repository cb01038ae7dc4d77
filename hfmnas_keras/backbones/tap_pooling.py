"""From what an encoder gives at a tap to what the fusion takes: a vector or a grid."""

from __future__ import annotations

import math
from typing import Any

import keras

from hfmnas_keras.backbones.adaptive_average_pool import AdaptiveAveragePool
from hfmnas_keras.backbones.token_grid import TokenGrid
from hfmnas_keras.backbones.token_pool import TokenPool

# Class token and registers stand before a picture's patches; no published network has more.
_MOST_LEADING_TOKENS = 8


def pooled_tap(states: Any, inputs: Any, modality: str, pooling: str | None, grid: tuple[int, int], name: str) -> Any:
    """Pools the symbolic output of an encoder.

    | output | `pooling` | becomes |
    | --- | --- | --- |
    | vector `(batch, channels)` | any | itself |
    | map `(batch, height, width, channels)` | any but `"first"` | means over the bins of the grid |
    | sequence of a text | `"mean"`, which `None` is | the mean over its tokens; over all where it has another length |
    | | `"grid"` | means over equal parts of the text |
    | sequence of a picture | `"grid"`, which `None` is | the map of its patches, pooled, without tokens before them |
    | | `"mean"` | the mean over all tokens |
    | any sequence | `"first"` | its first state |

    Args:
        states: tensor of rank 2 to 4.
        inputs: tensor that the encoder reads: `(batch, tokens)`, 0 being padding, or a picture with channels last.
        modality: str. `"text"` or `"image"`.
        pooling: one of `POOLINGS` or `None`.
        grid: pair of ints. Height and width of the grid.
        name: str. `"low"` or `"high"`, of the tap.

    Returns:
        Tensor `(batch, channels)` or `(batch, *grid, channels)`.

    Raises:
        ValueError: when the tap has another rank, or cannot be pooled so.
    """
    rank = len(states.shape)
    if rank == 2:
        return states
    if rank == 4 and pooling != "first":
        return AdaptiveAveragePool(grid, name=f"{name}_pool")(states)
    if rank != 3:
        raise ValueError(
            f"The {name} tap has the shape {tuple(states.shape)}, which `pooling={pooling!r}` cannot pool. Expected a "
            "vector, a sequence or, with no pooling given, a map, with its channels last. Take another tap."
        )
    if modality == "text" and states.shape[1] == inputs.shape[1]:
        if pooling == "grid":
            return TokenGrid(grid, name=f"{name}_pool")([states, inputs])
        return TokenPool(pooling or "mean", name=f"{name}_pool")([states, inputs])
    if pooling == "first":
        return states[:, 0]
    if pooling == "mean" or (modality == "text" and pooling is None):
        return keras.layers.GlobalAveragePooling1D(name=f"{name}_pool")(states)
    patches = _map_of_patches(states, inputs.shape[1:3], name) if modality == "image" else states[:, None]
    return AdaptiveAveragePool(grid, name=f"{name}_pool")(patches)


def _map_of_patches(states: Any, picture: Any, name: str) -> Any:
    """A sequence as `(batch, height, width, channels)` in the picture's proportions, without the tokens before it."""
    tokens = states.shape[1] or 0
    for leading in range(min(_MOST_LEADING_TOKENS, tokens - 1) + 1):
        height = math.isqrt((tokens - leading) * picture[0] // picture[1])
        width = (tokens - leading) // max(1, height)
        if height * width == tokens - leading and height * picture[1] == width * picture[0]:
            patches = states[:, leading:] if leading else states
            return keras.layers.Reshape((height, width, states.shape[-1]), name=f"{name}_map")(patches)
    raise ValueError(
        f"The {name} tap has the shape {tuple(states.shape)}, a sequence that is no map of patches of pictures of "
        f"{picture[0]}x{picture[1]} behind at most {_MOST_LEADING_TOKENS} tokens. Set `pooling` to mean or first."
    )
