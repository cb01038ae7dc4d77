import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.cell.mixed_edges import MixedEdges
from hfmnas_keras.edge_operations import EDGE_OPERATIONS, edge_operation
from tests.hfmnas_keras.cell.chosen_weights import copy_edge
from tests.hfmnas_keras.layer_test_case import run_layer_test

CHANNELS = 6


def random_probabilities(num_edges, seed=1):
    return np.random.default_rng(seed).dirichlet(np.ones(10), num_edges).astype("float32")


def random_source(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def make_edges(num_edges, shape, dropout=0.0):
    """A layer with random biases and moving averages, which start at 0 and 1."""
    keras.utils.set_random_seed(3)
    edges = MixedEdges(CHANNELS, num_edges, dropout=dropout)
    edges.build([shape, (num_edges, 10)])
    generator = np.random.default_rng(4)
    for weight in edges.weights:
        if weight.name in ("linear_bias", "moving_mean"):
            weight.assign(generator.normal(size=weight.shape))
        if weight.name == "moving_variance":
            weight.assign(generator.uniform(0.5, 2.0, size=weight.shape))
    return edges


def test_layer():
    inputs = [random_source((3, 4, 4, CHANNELS)), random_probabilities(3)]
    run_layer_test(
        lambda: MixedEdges(CHANNELS, num_edges=3),
        inputs,
        expected_output_shape=(3, 3, 4, 4, CHANNELS),
        expected_num_weights=7 + 2 * 3,
        batch_independent=False,
    )


def test_layer_on_partial_channels():
    inputs = [random_source((3, 4, 4, CHANNELS)), random_probabilities(3)]
    layer = run_layer_test(
        lambda: MixedEdges(CHANNELS, num_edges=3, partial_channels=3),
        inputs,
        expected_output_shape=(3, 3, 4, 4, CHANNELS),
        expected_num_weights=7 + 2 * 3,
        batch_independent=False,
    )
    assert layer.linear_kernel.shape == (3, 4, 2, 2)


def test_what_goes_round_the_operations_is_dealt_out_between_what_passed_them():
    shape = (2, 2, 2, CHANNELS)
    edges = MixedEdges(CHANNELS, num_edges=1, partial_channels=3)
    edges.build([shape, (1, 10)])
    source = np.broadcast_to(np.arange(1.0, 7.0, dtype="float32"), shape)
    probabilities = np.eye(10, dtype="float32")[None, EDGE_OPERATIONS.index("none")]
    # Channels 1 and 2 pass `none`; the groups (1, 2), (3, 4) and (5, 6) are dealt out in turn.
    received = edges([source, probabilities])
    np.testing.assert_array_equal(received, np.broadcast_to([0.0, 3.0, 5.0, 0.0, 4.0, 6.0], (1, *shape)))


def test_partial_channels_must_divide_the_channels():
    with pytest.raises(ValueError, match="partial_channels=4, channels=6"):
        MixedEdges(CHANNELS, 2, partial_channels=4)


@pytest.mark.parametrize("grid", [(4, 4), (8, 1), (3, 2)])
@pytest.mark.parametrize("training", [False, True])
def test_equals_one_layer_per_edge_and_operation(grid, training):
    shape = (5, *grid, CHANNELS)
    edges = make_edges(2, shape)
    source, probabilities = random_source(shape), random_probabilities(2)
    expected = []
    for edge in range(2):
        total = np.zeros(shape)
        for name, probability in zip(EDGE_OPERATIONS, probabilities[edge], strict=True):
            layer = edge_operation(name, CHANNELS, dropout=0.0, affine=False)
            layer.build(shape)
            copy_edge(edges, edge, name, layer)
            total += probability * ops.convert_to_numpy(layer(source, training=training))
        expected.append(total)
    received = edges([source, probabilities], training=training)
    np.testing.assert_allclose(received, expected, atol=2e-5)


def test_moving_averages_follow_the_batch_as_in_the_single_layers():
    shape = (4, 4, 4, CHANNELS)
    edges = make_edges(2, shape)
    layers = {}
    for name in ("sep_conv_3x3", "dil_conv_3x3", "linear_tanh", "avg_pool_3x3"):
        layers[name] = edge_operation(name, CHANNELS, dropout=0.0, affine=False)
        layers[name].build(shape)
        copy_edge(edges, 1, name, layers[name])
    source = random_source(shape)
    edges([source, random_probabilities(2)], training=True)
    for name, layer in layers.items():
        layer(source, training=True)
        expected = layer.get_weights()
        copy_edge(edges, 1, name, layer)
        for received, value in zip(layer.get_weights(), expected, strict=True):
            np.testing.assert_allclose(received, value, atol=1e-5)


def test_probability_of_none_alone_gives_zeros():
    shape = (2, 4, 4, CHANNELS)
    probabilities = np.zeros((2, 10), "float32")
    probabilities[:, EDGE_OPERATIONS.index("none")] = 1.0
    received = make_edges(2, shape)([random_source(shape), probabilities])
    np.testing.assert_array_equal(received, np.zeros((2, *shape)))


def test_dropout_touches_the_linear_operations_alone():
    shape = (2, 4, 4, CHANNELS)
    edges = make_edges(1, shape, dropout=0.5)
    undropped = make_edges(1, shape)
    source = random_source(shape)
    for index, name in enumerate(EDGE_OPERATIONS):
        probabilities = np.eye(10, dtype="float32")[index][None]
        received = ops.convert_to_numpy(edges([source, probabilities], training=True))
        expected = ops.convert_to_numpy(undropped([source, probabilities], training=True))
        if name.startswith("linear_"):
            share = np.mean(received == 0)
            assert 0.3 < share < 0.7
            np.testing.assert_allclose(received[received != 0], 2 * expected[received != 0], atol=1e-5)
        else:
            np.testing.assert_allclose(received, expected, atol=1e-6)


def test_a_source_of_the_wrong_width_is_refused():
    with pytest.raises(ValueError, match=r"shape \(batch, height, width, 6\).*Received: \(None, 4, 4, 8\)"):
        MixedEdges(CHANNELS, 2).build([(None, 4, 4, 8), (2, 10)])
    with pytest.raises(ValueError, match="at least 1"):
        MixedEdges(CHANNELS, 0)
