"""Counted costs against hand counts and against TensorFlow's profiler, which knows nothing of our layers."""

import math

import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.image_backbone import image_backbone
from hfmnas_keras.backbones.skeleton_backbone import skeleton_backbone
from hfmnas_keras.backbones.text_backbone import text_backbone
from hfmnas_keras.backbones.video_backbone import video_backbone
from hfmnas_keras.cost import model_cost, multiply_accumulates
from hfmnas_keras.edge_operations import edge_operation
from hfmnas_keras.genotype import BMGenotype, CellGenotype, Genotype, NodeChoice
from hfmnas_keras.models.baselines.baseline_model import baseline_model
from hfmnas_keras.models.baselines.central_fusion import CentralFusion
from hfmnas_keras.models.baselines.gated_multimodal_unit import GatedMultimodalUnit
from hfmnas_keras.models.baselines.multimodal_transfer import MultimodalTransfer
from hfmnas_keras.models.bm_nas.bm_model import bm_model
from hfmnas_keras.models.classifier import multimodal_classifier
from hfmnas_keras.models.hf_mnas.searched_model import searched_model
from hfmnas_keras.models.parts.sequence_encoder import SequenceEncoder
from hfmnas_keras.node_operations import node_operation
from hfmnas_keras.operations import EDGE_OPERATIONS, FUSION_OPERATIONS, NODE_OPERATIONS
from hfmnas_keras.settings.backbones import ImageBackboneSettings, TextBackboneSettings, VideoBackboneSettings
from hfmnas_keras.settings.models import PLAIN_MODELS
from tests.hfmnas_keras.cost.profiled_flops import profiled_flops
from tests.hfmnas_keras.network_settings import NetworkSettings

C, R, N = 8, 1, 16
"""Channels; rank of the steps and states of the scan."""


def scan_recurrence(height, width):
    """FLOPs of the scan that are no products of matrices: the state's decay and the skip, step by step."""
    steps = (
        2 * 2 * math.ceil(height / 2) * math.ceil(width / 2) if min(height, width) > 1 else 2 * math.ceil(height / 2)
    )
    return 2 * steps * (C * N + C)


@pytest.mark.parametrize("grid", [(4, 4), (8, 1), (5, 3)])
@pytest.mark.parametrize("operation", EDGE_OPERATIONS)
def test_an_edge_costs_what_the_profiler_counts(operation, grid):
    if operation == "dil_conv_3x3" and grid != (4, 4):
        pytest.skip("TensorFlow computes a dilated convolution on a padded grid, where sides are no multiple of 4")
    inputs = keras.Input((*grid, C))
    model = keras.Model(inputs, edge_operation(operation, C)(inputs))
    assert model_cost(model).flops == sum(profiled_flops(model).values())


@pytest.mark.parametrize("grid", [(4, 4), (8, 1), (5, 3)])
@pytest.mark.parametrize("operation", NODE_OPERATIONS)
def test_a_node_costs_what_the_profiler_counts(operation, grid):
    inputs = [keras.Input((*grid, C)), keras.Input((*grid, C))]
    model = keras.Model(inputs, node_operation(operation, C)(inputs))
    expected = sum(profiled_flops(model).values())
    if operation == "mamba_fusion":
        expected += scan_recurrence(*grid)
    assert model_cost(model).flops == expected


L = 16
"""Positions of a 4x4 grid."""


@pytest.mark.parametrize(
    ("operation", "multiply_accumulates_by_hand"),
    [
        ("skip", 0),
        ("avg_pool_3x3", 0),
        ("sep_conv_3x3", 2 * L * (9 * C + C * C)),
        ("dil_conv_3x3", L * (9 * C + C * C)),
        ("linear_tanh", L * C * C),
        ("sum", 0),
        ("multiply", 0),
        ("scaled_dot_attention", 2 * L * L * C),
        # The kernel; one affinity, both ways of attending; Dense(2C -> C).
        ("bidirectional_attention", L * C * C + 3 * L * L * C + L * 2 * C * C),
        # Q, K, V of both inputs; logits and values of both directions; Dense(2C -> C).
        ("multi_head_attention", 2 * L * C * 3 * C + 4 * L * L * C + L * 2 * C * C),
        ("squeeze_excitation", C * C),
        ("linear_glu", 2 * L * C * C),
        ("concat_fc", L * 2 * C * C),
        # Values and gates of both; depthwise; steps, B and C of each position, then the state and its reading and the
        # skip; Dense.
        (
            "mamba_fusion",
            2 * L * C * 2 * C + L * 9 * 2 * C + L * (C * (R + 2 * N) + R * C + 2 * C * N + C) + L * C * C,
        ),
    ],
)
def test_operations_by_hand(operation, multiply_accumulates_by_hand):
    shape = (4, 4, C)
    if operation in EDGE_OPERATIONS:
        layer = edge_operation(operation, C)
        layer.build((None, *shape))
    else:
        layer = node_operation(operation, C)
        layer.build([(None, *shape)] * 2)
        shape = [shape, shape]
    assert multiply_accumulates(layer, shape) == multiply_accumulates_by_hand


def test_a_dilated_convolution_over_time_by_hand():
    layer = edge_operation("dil_conv_3x3", C)
    layer.build((None, 8, 1, C))
    assert multiply_accumulates(layer, (8, 1, C)) == 8 * (3 * C + C * C)


def test_a_lstm_by_hand():
    """Each step, each direction: four gates of C/2 units, from the input and from the state."""
    tokens = SequenceEncoder(C, vocabulary_size=11)
    tokens.build((None, 7))
    assert multiply_accumulates(tokens, (7,)) == 2 * 7 * 4 * (C // 2) * (C + C // 2)
    vectors = SequenceEncoder(C)
    vectors.build((None, 7, 5))
    assert multiply_accumulates(vectors, (7, 5)) == 2 * 7 * 4 * (C // 2) * (5 + C // 2)


SHAPES = {"text_low": (6,), "text_high": (7,), "image_low": (4, 4, 5), "image_high": (4, 4, 3)}
FUSION = NetworkSettings(channels=C, num_nodes=2, kept_nodes=1, correlation_dim=3, sequence_encoder=True)


def make_genotype():
    low = CellGenotype(
        2,
        (
            NodeChoice(0, (0, 1), ("sep_conv_3x3", "max_pool_3x3"), "mamba_fusion"),
            NodeChoice(1, (1, 2), ("linear_elu", "dil_conv_3x3"), "bidirectional_attention"),
        ),
        kept=(1,),
    )
    high = CellGenotype(2, (NodeChoice(0, (0, 1), ("skip", "linear_relu"), "multi_head_attention"),), kept=(0,))
    return Genotype(low, high)


@pytest.mark.parametrize("changes", [{}, {"num_cells": 2}, {"vector_to_grid": "tile", "attention": False}])
def test_a_searched_model_costs_what_the_profiler_counts(changes):
    fusion = FUSION.changed(sequence_encoder=False, **changes)
    model = searched_model(make_genotype(), SHAPES, 4, **fusion.model)
    scans = fusion.final_model.num_cells
    assert model_cost(model).flops == sum(profiled_flops(model).values()) + scans * scan_recurrence(4, 4)


@pytest.mark.parametrize("mitigation", [False, True])
def test_a_model_of_bm_nas_costs_what_the_profiler_counts(mitigation):
    """Two cells of two steps: every operation of it once."""
    steps = [{"inputs": [0, 1 + index % 2], "operation": name} for index, name in enumerate(FUSION_OPERATIONS)]
    cells = [
        {"features": ["text_low", "image_low"], "steps": steps[:2]},
        {"features": ["text_high", "image_high"], "steps": steps[2:]},
    ]
    model = bm_model(BMGenotype(cells), SHAPES, 4, **FUSION.changed(in_bm_nas=mitigation).model)
    assert model_cost(model).flops == sum(profiled_flops(model).values())


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("name", PLAIN_MODELS)
def test_a_fixed_model_costs_what_the_profiler_counts(name, multi_label):
    model = baseline_model(name, SHAPES, 4, FUSION.fusion, FUSION.final_model, multi_label=multi_label)
    profiled = sum(profiled_flops(model).values())
    assert model_cost(model).flops == profiled > 0


def test_fusions_of_fixed_models_by_hand():
    central = CentralFusion()
    central.build([(None, C)] * 3)
    assert multiply_accumulates(central, [(C,)] * 3) == 3 * C
    unit = GatedMultimodalUnit(C)
    unit.build([(None, 5), (None, 7)])
    # Each modality's hidden units, and the gate that looks at both.
    assert multiply_accumulates(unit, [(5,), (7,)]) == 2 * (5 + 7) * C
    transfer = MultimodalTransfer(reduction=4)
    transfer.build([(None, 4, 4, 5), (None, 7)])
    # Of 12 channels 3 units, and from these a factor for each channel.
    assert multiply_accumulates(transfer, [(4, 4, 5), (7,)]) == 2 * 12 * 3


def test_parts_add_up_and_carry_their_parameters():
    model = searched_model(make_genotype(), SHAPES, 4, **FUSION.model, vocabulary_size=11, max_tokens=7)
    cost = model_cost(model)
    assert cost.flops == sum(part.flops for part in cost.parts.values())
    assert cost.parameters == sum(part.parameters for part in cost.parts.values())
    assert cost.parameters == sum(int(np.prod(weight.shape)) for weight in model.weights)
    assert cost.parts["sequence_encoder"].flops == 2 * 2 * 7 * 4 * 4 * (C + 4)
    # 16 positions of 8 channels, the last states, four classes.
    assert cost.parts["logits"].flops == 2 * (16 * C + C) * 4
    assert cost.parts["logits"].parameters == (16 * C + C) * 4 + 4


def test_backbones_and_classifier_cost_what_the_profiler_counts():
    settings = ImageBackboneSettings(width=0.05, head_units=5)
    image = image_backbone((32, 32, 3), 4, settings)
    text = text_backbone(20, 7, 4, TextBackboneSettings(embedding_dim=6, hidden_units=(5, 9), pieces=2))
    shapes = {
        f"{name}_{level}": tuple(model.output[level].shape[1:])
        for name, model in (("image", image), ("text", text))
        for level in ("low", "high")
    }
    fusion = FUSION.changed(sequence_encoder=False)
    network = searched_model(make_genotype(), shapes, 4, **fusion.model)
    classifier = multimodal_classifier(network, {"text": text, "image": image}, multi_label=False)
    for model, scans in ((image, 0), (text, 0), (classifier, 1)):
        assert model_cost(model).flops == sum(profiled_flops(model).values()) + scans * scan_recurrence(4, 4)
    assert set(model_cost(classifier).parts) == {"text_backbone", "image_backbone", "searched_model"}


def test_vgg_16_costs_what_is_published():
    """15.3 billion multiply-accumulates in the convolutions, at 224x224 (Simonyan and Zisserman's network)."""
    model = image_backbone((224, 224, 3), 2, ImageBackboneSettings(depth=16))
    assert model_cost(model).flops / 2e9 == pytest.approx(15.35, abs=0.02)


def test_video_by_hand():
    settings = VideoBackboneSettings(network="resnext101", width=0.25, blocks=(1, 1, 1, 1), cardinality=4)
    model = video_backbone((8, 16, 16, 3), 5, settings)
    cost = model_cost(model)
    # Stem: 7x7x7 over three channels to 16 filters, strides 1, 2, 2.
    assert cost.parts["conv1"].flops == 2 * 8 * 8 * 8 * 7**3 * 3 * 16
    # After the pooling 4x4x4 of 16: 1x1x1 to 32; 3x3x3 in 4 groups of 8; 1x1x1 to 64; shortcut 16 to 64.
    positions = 4 * 4 * 4
    expected = positions * (16 * 32 + 27 * 8 * 32 + 32 * 64 + 16 * 64)
    assert cost.parts["layer1_0"].flops == 2 * expected
    # Halved in time and space: only the first convolution still sees the larger grid.
    expected = positions * 64 * 64 + positions // 8 * (27 * 16 * 64 + 64 * 128 + 64 * 128)
    assert cost.parts["layer2_0"].flops == 2 * expected


def test_skeleton_costs_what_the_profiler_counts():
    model = skeleton_backbone((32, 2, 25, 3), 5)
    (motion,) = (2 * 2 * 32 * 32 * 25 * 3,)
    profiled = profiled_flops(model)
    assert profiled["Einsum"] == motion
    assert model_cost(model).flops == sum(profiled.values())


def test_a_layer_called_twice_costs_twice_and_weighs_once():
    first, second = keras.Input((3,)), keras.Input((3,))
    dense = keras.layers.Dense(5, use_bias=False)
    model = keras.Model([first, second], keras.layers.Concatenate()([dense(first), dense(second)]))
    cost = model_cost(model)
    assert (cost.flops, cost.parameters) == (2 * 2 * 3 * 5, 15)


def test_an_unknown_layer_is_an_error():
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.Conv2DTranspose(2, 3, name="upwards")(inputs))
    with pytest.raises(ValueError, match="no rule for what the layer `upwards`.*Conv2DTranspose"):
        model_cost(model)

    class MyDense(keras.layers.Dense):
        """May do anything more."""

    inputs = keras.Input((3,))
    with pytest.raises(ValueError, match="MyDense"):
        model_cost(keras.Model(inputs, MyDense(2)(inputs)))


def test_an_open_size_is_an_error():
    model = searched_model(make_genotype(), SHAPES, 4, **FUSION.model, vocabulary_size=11)
    with pytest.raises(ValueError, match="`sequence_encoder` costs depends on its input's size"):
        model_cost(model)
