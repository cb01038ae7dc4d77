"""The ten operations an edge of a cell chooses from (HF-MNAS, Eq. 10; docs/method.md, section 4)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras

from hfmnas_keras.edge_operations.avg_pool import AvgPool
from hfmnas_keras.edge_operations.dilated_convolution import DilatedConvolution
from hfmnas_keras.edge_operations.linear_activation import LinearActivation
from hfmnas_keras.edge_operations.max_pool import MaxPool
from hfmnas_keras.edge_operations.separable_convolution import SeparableConvolution
from hfmnas_keras.edge_operations.skip import Skip
from hfmnas_keras.edge_operations.zero import Zero
from hfmnas_keras.operations import EDGE_OPERATIONS

_MAKERS: dict[str, Callable[..., keras.layers.Layer]] = {
    "none": Zero,
    "skip": Skip,
    "max_pool_3x3": MaxPool,
    "avg_pool_3x3": AvgPool,
    "sep_conv_3x3": SeparableConvolution,
    "dil_conv_3x3": DilatedConvolution,
    "linear_relu": functools.partial(LinearActivation, activation="relu"),
    "linear_sigmoid": functools.partial(LinearActivation, activation="sigmoid"),
    "linear_tanh": functools.partial(LinearActivation, activation="tanh"),
    "linear_elu": functools.partial(LinearActivation, activation="elu"),
}


def edge_operation(
    operation: str, channels: int, dropout: float = 0.1, affine: bool = True, **kwargs: Any
) -> keras.layers.Layer:
    """Makes an edge operation from its name.

    Args:
        operation: str. One of `EDGE_OPERATIONS`.
        channels: int. Channels of the grid.
        dropout: float. Rate of the operations that have a dropout. Defaults to `0.1`.
        affine: bool. Whether batch normalisations have scale and offset. Defaults to `True`.
        **kwargs: `name` and `dtype` of the layer.

    Returns:
        A layer that maps `(batch, height, width, channels)` to the same shape.

    Raises:
        ValueError: when the name is not known.
    """
    if operation not in _MAKERS:
        raise ValueError(f"Unknown edge operation: {operation!r}. Known ones: {', '.join(EDGE_OPERATIONS)}.")
    if operation.startswith("linear_"):
        kwargs["dropout"] = dropout
    return _MAKERS[operation](channels=channels, affine=affine, **kwargs)


__all__ = ["EDGE_OPERATIONS", "edge_operation"]
