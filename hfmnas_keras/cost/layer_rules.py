"""Multiply-accumulates of one example at inference, by a rule for each class of layer.

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

from hfmnas_keras.attention.multi_head_fusion_attention import MultiHeadFusionAttention
from hfmnas_keras.backbones.adaptive_max_pool import AdaptiveMaxPool
from hfmnas_keras.backbones.bottleneck import Bottleneck
from hfmnas_keras.backbones.caffe_preprocessing import CaffePreprocessing
from hfmnas_keras.backbones.cooccurrence_network import CooccurrenceNetwork
from hfmnas_keras.backbones.grouped_convolution import GroupedConvolution3D
from hfmnas_keras.backbones.maxout import Maxout
from hfmnas_keras.backbones.mean_word_vector import MeanWordVector
from hfmnas_keras.cell.searched_cell import SearchedCell
from hfmnas_keras.edge_operations.avg_pool import AvgPool
from hfmnas_keras.edge_operations.dilated_convolution import DilatedConvolution
from hfmnas_keras.edge_operations.linear_activation import LinearActivation
from hfmnas_keras.edge_operations.max_pool import MaxPool
from hfmnas_keras.edge_operations.separable_convolution import SeparableConvolution
from hfmnas_keras.edge_operations.skip import Skip
from hfmnas_keras.edge_operations.zero import Zero
from hfmnas_keras.evidence.opinion_report import OpinionReport
from hfmnas_keras.inconsistency.inconsistency_mitigation import InconsistencyMitigation
from hfmnas_keras.layers.normalization import BatchNormalization
from hfmnas_keras.models.baselines.average_logits import AverageLogits
from hfmnas_keras.models.baselines.central_fusion import CentralFusion
from hfmnas_keras.models.baselines.gated_multimodal_unit import GatedMultimodalUnit
from hfmnas_keras.models.baselines.multimodal_transfer import MultimodalTransfer
from hfmnas_keras.models.bm_nas import fusion_operations
from hfmnas_keras.models.bm_nas.fusion_cell import FusionCell
from hfmnas_keras.models.parts.feature_grid import FeatureGrid
from hfmnas_keras.models.parts.sequence_encoder import SequenceEncoder
from hfmnas_keras.node_operations.bidirectional_attention import BidirectionalAttention
from hfmnas_keras.node_operations.concat_fc import ConcatFC
from hfmnas_keras.node_operations.linear_glu import LinearGLU
from hfmnas_keras.node_operations.mamba_fusion import MambaFusion
from hfmnas_keras.node_operations.multi_head_attention import MultiHeadAttention
from hfmnas_keras.node_operations.multiply import Multiply
from hfmnas_keras.node_operations.scaled_dot_attention import ScaledDotAttention
from hfmnas_keras.node_operations.squeeze_excitation import SqueezeExcitation
from hfmnas_keras.node_operations.sum import Sum
from hfmnas_keras.state_space.es2d import ES2D

# Shape of a layer's input without the batch, or a list or dict of such, as its call takes it.
Shape = Any
Rule = Callable[[Any, Shape], int]

_RULES: dict[type, Rule] = {}


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
    # By the class itself: a subclass may do more.
    rule = _RULES.get(type(layer))
    if rule is None:
        raise ValueError(
            f"There is no rule for what the layer `{layer.name}` of the class {type(layer).__module__}."
            f"{type(layer).__name__} costs. Add one with `hfmnas_keras.cost.layer_rules.rule_of`."
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
        shape = _output_shape(layer, shape)
    return total


def _output_shape(layer: keras.layers.Layer, shape: Shape) -> tuple[int, ...]:
    return tuple(layer.compute_output_shape((1, *shape))[1:])


def _positions(shape: Shape) -> int:
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
    BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.Normalization,
    keras.layers.UnitNormalization,
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.ZeroPadding3D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.Embedding,
    AdaptiveMaxPool,
    AverageLogits,
    CaffePreprocessing,
    MeanWordVector,
    OpinionReport,
    Skip,
    Zero,
    MaxPool,
    AvgPool,
    Sum,
    Multiply,
    fusion_operations.Sum,
)
def _nothing(layer, shape):
    return 0


@rule_of(keras.layers.Dense)
def _dense(layer, shape):
    return _positions(shape) * shape[-1] * layer.units


@rule_of(keras.layers.Conv2D, keras.layers.Conv3D)
def _convolution(layer, shape):
    output = _output_shape(layer, shape)
    # kernel (..., input channels of a group, filters)
    return _positions(output) * math.prod(layer.kernel.shape)


@rule_of(GroupedConvolution3D)
def _grouped_convolution(layer, shape):
    # By definition: the zeros between the groups of a chunk, which the layer multiplies along, are not counted.
    return _positions(_output_shape(layer, shape)) * math.prod(layer.kernel.shape)


@rule_of(FeatureGrid)
def _feature_grid(layer, shape):
    return multiply_accumulates(layer.projection, shape)


@rule_of(LinearActivation)
def _linear_activation(layer, shape):
    return multiply_accumulates(layer.dense, shape)


@rule_of(DilatedConvolution)
def _dilated_convolution(layer, shape):
    return _positions(shape) * _sizes(layer.depthwise_kernel, layer.pointwise_kernel)


@rule_of(SeparableConvolution)
def _separable_convolution(layer, shape):
    return _positions(shape) * _sizes(*layer.depthwise_kernels, *layer.pointwise_kernels)


@rule_of(ScaledDotAttention, fusion_operations.ScaledDotAttention)
def _scaled_dot_attention(layer, shapes):
    positions, channels = _positions(shapes[0]), shapes[0][-1]
    # Logits, then what is attended to.
    return 2 * positions * positions * channels


@rule_of(BidirectionalAttention)
def _bidirectional_attention(layer, shapes):
    positions, channels = _positions(shapes[0]), shapes[0][-1]
    queries = positions * channels * channels
    # One affinity, two ways of attending.
    attention = 3 * positions * positions * channels
    return queries + attention + multiply_accumulates(layer.dense, (positions, 2 * channels))


@rule_of(MultiHeadFusionAttention)
def _multi_head_fusion_attention(layer, shapes):
    positions = _positions(shapes[0])
    projections = sum(
        multiply_accumulates(projection, shape)
        for projection, shape in zip((layer.projection_1, layer.projection_2), shapes, strict=True)
    )
    # Two directions, each logits and values; the heads of one together are `channels` wide.
    attention = 2 * 2 * positions * positions * layer.channels
    return projections + attention + multiply_accumulates(layer.output_projection, (positions, 2 * layer.channels))


@rule_of(MultiHeadAttention)
def _multi_head_attention(layer, shapes):
    return multiply_accumulates(layer.attention, shapes)


@rule_of(SqueezeExcitation)
def _squeeze_excitation(layer, shapes):
    return multiply_accumulates(layer.dense, (shapes[0][-1],))


@rule_of(LinearGLU)
def _linear_glu(layer, shapes):
    return multiply_accumulates(layer.value, shapes[0]) + multiply_accumulates(layer.gate, shapes[1])


@rule_of(ConcatFC)
def _concat_fc(layer, shapes):
    return multiply_accumulates(layer.dense, (*shapes[0][:-1], 2 * shapes[0][-1]))


@rule_of(MambaFusion)
def _mamba_fusion(layer, shapes):
    projections = multiply_accumulates(layer.projection_1, shapes[0]) + multiply_accumulates(
        layer.projection_2, shapes[1]
    )
    depthwise = _positions(shapes[0]) * _sizes(layer.depthwise_kernel)
    scan = multiply_accumulates(layer.scan, shapes[0])
    return projections + depthwise + scan + multiply_accumulates(layer.output_projection, shapes[0])


@rule_of(ES2D)
def _es2d(layer, shape):
    sequences, channels, states = layer.row_parities * layer.column_parities, layer.channels, layer.state_size
    # Padded steps count, as they are computed.
    steps = sequences * layer.length
    selection = channels * (layer.step_rank + 2 * states) + layer.step_rank * channels
    # h_t = decay * h_(t-1) + ..., y_t = h_t . C_t, and + skip * x_t
    recurrence = channels * states + channels * states + channels
    return steps * (selection + recurrence)


@rule_of(SearchedCell)
def _searched_cell(layer, shapes):
    grid = shapes[0]
    return sum(multiply_accumulates(edge, grid) for edge in layer.edges) + sum(
        multiply_accumulates(node, [grid, grid]) for node in layer.nodes
    )


@rule_of(fusion_operations.LinearGLU, fusion_operations.ConcatFC)
def _projection_of_both(layer, shapes):
    return multiply_accumulates(layer.projection, (*shapes[0][:-1], 2 * layer.channels))


@rule_of(FusionCell)
def _fusion_cell(layer, shapes):
    grid = shapes[0]
    total = sum(multiply_accumulates(operation, [grid, grid]) for operation in layer.operations)
    if layer.inner_steps > 1:
        total += multiply_accumulates(layer.projection, (*grid[:-1], layer.inner_steps * layer.channels))
    return total


@rule_of(InconsistencyMitigation)
def _inconsistency_mitigation(layer, shapes):
    # The views of the correlation are of the training alone.
    total = sum(multiply_accumulates(hidden, shape) for hidden, shape in zip(layer.hidden_layers, shapes, strict=True))
    if layer.attention:
        grid = (*shapes[0][:-1], layer.channels)
        total += multiply_accumulates(layer.fusion_attention, [grid, grid])
    return total


@rule_of(CentralFusion)
def _central_fusion(layer, shapes):
    return len(shapes) * math.prod(shapes[0])


@rule_of(GatedMultimodalUnit)
def _gated_multimodal_unit(layer, shapes):
    hidden = sum(multiply_accumulates(own, shape) for own, shape in zip(layer.hidden_layers, shapes, strict=True))
    return hidden + multiply_accumulates(layer.gate, (shapes[0][-1] + shapes[1][-1],))


@rule_of(MultimodalTransfer)
def _multimodal_transfer(layer, shapes):
    squeeze = multiply_accumulates(layer.squeeze, (shapes[0][-1] + shapes[1][-1],))
    return squeeze + sum(multiply_accumulates(own, (layer.squeeze.units,)) for own in layer.excitations)


@rule_of(SequenceEncoder)
def _sequence_encoder(layer, shape):
    inputs = layer.channels if layer.vocabulary_size is not None else shape[-1]
    units = layer.channels // 2
    # Two directions; four gates, each a matrix for the input and one for the state. Padding is computed, too.
    return 2 * shape[0] * 4 * units * (inputs + units)


@rule_of(Maxout)
def _maxout(layer, shape):
    return multiply_accumulates(layer.linear, shape)


@rule_of(Bottleneck)
def _bottleneck(layer, shape):
    inner = (*shape[:-1], layer.inner_filters)
    padded = tuple(side + 2 for side in inner[:-1]) if layer.is_strided else inner[:-1]
    output = _output_shape(layer, shape)
    total = multiply_accumulates(layer.conv1, shape)
    total += multiply_accumulates(layer.conv2, (*padded, layer.inner_filters))
    total += multiply_accumulates(layer.conv3, (*output[:-1], layer.inner_filters))
    return total + (multiply_accumulates(layer.shortcut_conv, shape) if layer.has_projection else 0)


@rule_of(CooccurrenceNetwork)
def _cooccurrence_network(layer, shape):
    frames, bodies, joints, coordinates = shape
    motion = frames * frames * joints * coordinates
    streams = 0
    for stream in ("", "m"):
        conv1, conv2, conv3, conv4 = (getattr(layer, f"conv{number}{stream}") for number in (1, 2, 3, 4))
        streams += multiply_accumulates(conv1, (frames, joints, coordinates))
        streams += multiply_accumulates(conv2, (frames, joints, conv1.filters))
        # The joints become channels.
        maps = (frames, conv2.filters, joints)
        for convolution in (conv3, conv4):
            streams += multiply_accumulates(convolution, maps)
            maps = (maps[0] // 2, maps[1] // 2, convolution.filters)
    maps = (*maps[:2], 2 * maps[2])
    merged = 0
    for convolution in (layer.conv5, layer.conv6):
        merged += multiply_accumulates(convolution, maps)
        maps = (maps[0] // 2, maps[1] // 2, convolution.filters)
    return bodies * (motion + streams + merged) + multiply_accumulates(layer.fc7, (math.prod(maps),))


def _sizes(*kernels: Any) -> int:
    return sum(int(np.prod(kernel.shape)) for kernel in kernels)
