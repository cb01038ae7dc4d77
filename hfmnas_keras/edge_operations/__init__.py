"""The ten operations an edge of a cell chooses from (HF-MNAS, Eq. 10; docs/method.md, section 4)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import keras

from hfmnas_keras.edge_operations.avg_pool import AvgPool
from hfmnas_keras.edge_operations.dilated_convolution import DilatedConvolution
from hfmnas_keras.edge_operations.edge_operation_base import EdgeOperation
from hfmnas_keras.edge_operations.linear_activation import LinearActivation
from hfmnas_keras.edge_operations.max_pool import MaxPool
from hfmnas_keras.edge_operations.separable_convolution import SeparableConvolution
from hfmnas_keras.edge_operations.skip import Skip
from hfmnas_keras.edge_operations.zero import Zero
from hfmnas_keras.layers.operation_makers import check_operation, make_operation
from hfmnas_keras.operations import EDGE_OPERATION_LAYERS, EDGE_OPERATIONS

_Maker = TypeVar("_Maker", bound=Callable[..., keras.layers.Layer])


def register_edge_operation(name: str, description: str = "") -> Callable[[_Maker], _Maker]:
    """Decorator that gives an `EdgeOperation`, or a partial one, the name that a search and a genotype call it by.

    Args:
        name: str. A Python identifier.
        description: str. A line for people.

    Raises:
        ValueError: when the name is taken, or when the class is no `EdgeOperation` or does not say what it costs.

    Example:
    >>> @register_edge_operation("square", "the square of each number")
    ... @keras.saving.register_keras_serializable(package="mine")
    ... class Square(EdgeOperation):
    ...     has_weights = False
    ...     multiply_accumulates = no_products
    ...     def call(self, inputs):
    ...         return inputs * inputs
    """

    def register(maker: _Maker) -> _Maker:
        check_operation(maker, EdgeOperation)
        return EDGE_OPERATION_LAYERS.register(name, description)(maker)

    return register


def edge_operation(
    operation: str, channels: int, dropout: float = 0.1, affine: bool = True, **kwargs: Any
) -> keras.layers.Layer:
    """Makes an edge operation from its name.

    Args:
        operation: str. One of `EDGE_OPERATION_LAYERS`: the paper's `EDGE_OPERATIONS`, and what was registered.
        channels: int. Channels of the grid.
        dropout: float. Rate of the operations that have a dropout. Defaults to `0.1`.
        affine: bool. Whether batch normalisations have scale and offset. Defaults to `True`.
        **kwargs: `name` and `dtype` of the layer.

    Returns:
        A layer that maps `(batch, height, width, channels)` to the same shape.

    Raises:
        ValueError: when the name is not known.
    """
    maker = EDGE_OPERATION_LAYERS[operation]
    return make_operation(maker, {"dropout": dropout}, channels=channels, affine=affine, **kwargs)


def has_weights(operation: str) -> bool:
    """Whether the edge operation of this name learns more than a normalisation."""
    maker = EDGE_OPERATION_LAYERS[operation]
    return getattr(maker, "func", maker).has_weights


for _name, _class in {
    "none": Zero,
    "skip": Skip,
    "max_pool_3x3": MaxPool,
    "avg_pool_3x3": AvgPool,
    "sep_conv_3x3": SeparableConvolution,
    "dil_conv_3x3": DilatedConvolution,
}.items():
    register_edge_operation(_name)(_class)
for _activation in ("relu", "sigmoid", "tanh", "elu"):
    register_edge_operation(f"linear_{_activation}")(functools.partial(LinearActivation, activation=_activation))

__all__ = [
    "EDGE_OPERATIONS",
    "EDGE_OPERATION_LAYERS",
    "EdgeOperation",
    "edge_operation",
    "has_weights",
    "register_edge_operation",
]
