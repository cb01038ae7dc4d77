"""Multiply-accumulates of one example at inference, by a rule for each class of layer.

A layer of this project states its own as the method `multiply_accumulates(shape)`; the rules of Keras's are here.

What counts is what multiplies and adds up: matrix products, convolutions, products of queries, keys and values, and
the recurrences of the LSTM and of the selective scan. A convolution's taps in the padding count like the others, as
usual. What works element by element (activations, normalisations, `sum`, `multiply`, dropout), pooling, look-ups and
changes of shape count nothing. A layer that has no rule is an error: it must not pass for free.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

# Shape of a layer's input without the batch, or a list or dict of such, as its call takes it.
Shape = Any
Rule = Callable[[Any, Shape], int]

_RULES: dict[type, Rule] = {}
# Of `keras.ops` called on symbolic tensors; Keras does not publish their classes.
_OPERATIONS_WITHOUT_PRODUCTS = {
    *("Cast", "Cumsum", "ExpandDims", "Gelu", "GetItem", "Multiply", "NotEqual", "OnesLike", "Sigmoid", "Subtract"),
}


def multiply_accumulates(layer: keras.layers.Layer, shape: Shape) -> int:
    """Multiply-accumulates of a built layer, or of a functional or sequential model, for one example.

    Args:
        layer: built layer. A model is the sum of its layers, each as often as it is called.
        shape: shape of its input without the batch, all sizes known; of a layer with several inputs a list or dict of
            shapes. Of a functional model it is not read: its inputs have shapes.

    Returns:
        int.

    Raises:
        ValueError: when there is no rule for the layer's class, or a size is not known.
    """
    if isinstance(layer, keras.Sequential):
        return _of_sequence(layer, shape)
    if isinstance(layer, keras.Model) and hasattr(layer, "operations"):
        return sum(multiply_accumulates(child, child_shape) for child, child_shape in calls_of(layer))
    # Keras's by the class itself: a subclass may do more.
    rule = getattr(type(layer), "multiply_accumulates", None) or _RULES.get(type(layer))
    if not isinstance(layer, keras.layers.Layer) and type(layer).__name__ in _OPERATIONS_WITHOUT_PRODUCTS:
        rule = no_products
    if rule is None:
        raise ValueError(
            f"There is no rule for what the layer `{layer.name}` of the class {type(layer).__module__}."
            f"{type(layer).__name__} costs. State it as its method `multiply_accumulates(shape)`, or, of a class "
            "that is not yours, with `hfmnas_keras.cost.layer_rules.rule_of`."
        )
    if any(size is None for one in _leaves(shape) for size in one):
        raise ValueError(
            f"What the layer `{layer.name}` costs depends on its input's size, which is open: {shape}. "
            "Build the model for inputs of known shapes."
        )
    return int(rule(layer, shape))


def rule_of(*layer_classes: type) -> Callable[[Rule], Rule]:
    """Decorator that makes a function `(layer, shape) -> multiply-accumulates` the rule of these classes of layers."""

    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(layer_classes, rule))
        return rule

    return register


def calls_of(model: keras.Model) -> Iterator[tuple[Any, Shape]]:
    """Every layer (or operation) of a functional model with the shape of its input, once a call."""
    by_name = {operation.name: operation for operation in model.operations}
    # The configuration is where Keras tells publicly how often, and on what, a layer is called.
    for entry in model.get_config()["layers"]:
        for node in entry["inbound_nodes"] or [None]:
            yield by_name[entry["name"]], () if node is None else _shapes([*node["args"], *node["kwargs"].values()][0])


def _shapes(argument: Any) -> Shape:
    """Shapes without the batch in place of the tensors of a serialized argument."""
    if isinstance(argument, dict) and argument.get("class_name") == "__keras_tensor__":
        return tuple(argument["config"]["shape"][1:])
    if isinstance(argument, dict):
        return {key: _shapes(value) for key, value in argument.items()}
    return [_shapes(value) for value in argument]


def _leaves(shape: Shape) -> Iterator[tuple[int | None, ...]]:
    if isinstance(shape, dict):
        shape = list(shape.values())
    if isinstance(shape, list):
        for one in shape:
            yield from _leaves(one)
    else:
        yield shape


def _of_sequence(model: keras.Sequential, shape: Shape) -> int:
    total = 0
    for layer in model.layers:
        total += multiply_accumulates(layer, shape)
        shape = output_shape(layer, shape)
    return total


def output_shape(layer: keras.layers.Layer, shape: Shape) -> tuple[int, ...]:
    """Shape of a layer's output without the batch."""
    return tuple(layer.compute_output_shape((1, *shape))[1:])


def num_positions(shape: Shape) -> int:
    """Height times width (times time) of a grid."""
    return math.prod(shape[:-1])


@rule_of(
    keras.layers.InputLayer,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Concatenate,
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.UnitNormalization,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
    keras.layers.ZeroPadding3D,
    keras.layers.AveragePooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.Embedding,
    keras.layers.Add,
    keras.layers.Rescaling,
)
def no_products(layer: Any, shape: Shape) -> int:
    """The rule, or the method `multiply_accumulates`, of what multiplies and adds up nothing."""
    return 0


@rule_of(keras.layers.Dense)
def _dense(layer: Any, shape: Any) -> Any:
    return num_positions(shape) * shape[-1] * layer.units


@rule_of(keras.layers.Conv2D, keras.layers.Conv3D)
def _convolution(layer: Any, shape: Any) -> Any:
    output = output_shape(layer, shape)
    # kernel (..., input channels of a group, filters)
    return num_positions(output) * math.prod(layer.kernel.shape)


@rule_of(keras.layers.DepthwiseConv2D)
def _depthwise_convolution(layer: Any, shape: Any) -> Any:
    return num_positions(output_shape(layer, shape)) * math.prod(layer.kernel.shape)


@rule_of(keras.layers.MultiHeadAttention)
def _self_attention(layer: Any, shape: Any) -> Any:
    positions, channels, width = num_positions(shape), shape[-1], layer.num_heads * layer.key_dim
    # Queries, keys, values and what comes of them; logits, then what is attended to.
    return 4 * positions * channels * width + 2 * positions * positions * width


def kernel_sizes(*kernels: Any) -> int:
    """How many numbers the kernels hold together."""
    return sum(int(np.prod(kernel.shape)) for kernel in kernels)
