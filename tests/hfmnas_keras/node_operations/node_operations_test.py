"""All nine node operations: the shared layer test, and values and gradients against float64 numpy."""

import keras
import numpy as np
import pytest

from hfmnas_keras.node_operations import NODE_OPERATIONS, NodeOperation, node_operation
from tests.hfmnas_keras.layer_test_case import run_layer_test
from tests.hfmnas_keras.reference_arithmetic import (
    check_gradients,
    random_grid,
    randomize_statistics,
    randomize_weights,
    weight_values,
)
from tests.hfmnas_keras.reference_operations import fusion_reference, node_reference

CHANNELS = 8
# Without the scale and offset of the final normalisation
NUM_WEIGHTS = {
    "sum": 0,
    "multiply": 0,
    "scaled_dot_attention": 0,
    "bidirectional_attention": 3,
    "multi_head_attention": 4,
    "squeeze_excitation": 2,
    "linear_glu": 2,
    "concat_fc": 3,
    "mamba_fusion": 10,
}
NUM_INNER_AFFINE_WEIGHTS = {"concat_fc": 2, "mamba_fusion": 2}


@pytest.mark.parametrize("operation", NODE_OPERATIONS)
@pytest.mark.parametrize(("grid", "affine"), [((4, 4), True), ((8, 1), False)])
def test_layer(operation, grid, affine):
    first, second = random_grid(0, (3, *grid, CHANNELS)), random_grid(1, (3, *grid, CHANNELS))
    num_weights = NUM_WEIGHTS[operation] + affine * (2 + NUM_INNER_AFFINE_WEIGHTS.get(operation, 0))
    run_layer_test(
        lambda: node_operation(operation, CHANNELS, dropout=0.2, affine=affine),
        [first, second],
        first.shape,
        expected_num_weights=num_weights,
    )


def make_layer(operation, shape, affine, dtype):
    layer = node_operation(operation, shape[-1], dropout=0.0, affine=affine, dtype=dtype, name="node")
    layer.build([shape, shape])
    randomize_weights(layer)
    randomize_statistics(layer)
    return layer


# On a grid of one position attention has nothing to choose from, which Keras remarks on and we mean.
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis:UserWarning")
@pytest.mark.parametrize("operation", NODE_OPERATIONS)
@pytest.mark.parametrize(("batch", "grid"), [(4, (4, 4)), (3, (8, 1)), (1, (5, 3)), (2, (5, 3)), (1, (1, 1))])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values(operation, batch, grid, dtype):
    inputs = [random_grid(seed, (batch, *grid, CHANNELS)).astype(dtype) for seed in (2, 3)]
    wide_inputs = [grid.astype("float64") for grid in inputs]
    tolerance = 1e-10 if dtype == "float64" else 1e-5
    for affine, training in ((False, True), (True, True), (True, False)):
        layer = make_layer(operation, inputs[0].shape, affine, dtype)
        weights = weight_values(layer)
        fused = layer.fuse(*inputs, training=training)
        np.testing.assert_allclose(
            fused, fusion_reference(operation, *wide_inputs, weights, training), rtol=tolerance, atol=tolerance
        )
        outputs = layer(inputs, training=training)
        np.testing.assert_allclose(
            outputs, node_reference(operation, *wide_inputs, weights, training), rtol=0, atol=tolerance
        )


@pytest.mark.parametrize("operation", NODE_OPERATIONS)
@pytest.mark.parametrize("grid", [(5, 3), (4, 4)])
def test_gradients(operation, grid):
    inputs = [random_grid(seed, (3, *grid, 4)).astype("float64") for seed in (2, 3)]
    layer = make_layer(operation, inputs[0].shape, True, "float64")
    check_gradients(layer, inputs, lambda moved, weights: node_reference(operation, *moved, weights))


@pytest.mark.parametrize("operation", ["scaled_dot_attention", "bidirectional_attention", "multi_head_attention"])
def test_attention_survives_large_values_in_half_precision(operation):
    grids = [1000.0 * random_grid(seed, (2, 4, 4, CHANNELS)) for seed in (4, 5)]
    layer = node_operation(operation, CHANNELS, dtype="mixed_float16")
    outputs = keras.ops.convert_to_numpy(layer(grids, training=True))
    assert np.isfinite(outputs).all()


def test_every_operation_but_the_symmetric_ones_tells_its_inputs_apart():
    first, second = random_grid(6, (2, 4, 4, CHANNELS)), random_grid(7, (2, 4, 4, CHANNELS))
    for operation in NODE_OPERATIONS:
        keras.utils.set_random_seed(0)
        layer = node_operation(operation, CHANNELS, dropout=0.0)
        there, back = (keras.ops.convert_to_numpy(layer(pair)) for pair in ([first, second], [second, first]))
        assert np.allclose(there, back) == (operation in ("sum", "multiply")), operation


def test_order_is_that_of_the_method():
    assert NODE_OPERATIONS == (
        "sum",
        "multiply",
        "scaled_dot_attention",
        "bidirectional_attention",
        "multi_head_attention",
        "squeeze_excitation",
        "linear_glu",
        "concat_fc",
        "mamba_fusion",
    )


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="'max'.*sum, multiply, .*mamba_fusion"):
        node_operation("max", CHANNELS)


def test_unequal_inputs_say_what_came_and_what_to_do():
    inputs = [np.zeros((8, 4, 4, 192), "float32"), np.zeros((8, 4, 4, 128), "float32")]
    with pytest.raises(ValueError, match=r"(?s)`LinearGLU` needs.*\(8, 4, 4, 192\) and \(8, 4, 4, 128\).*Dense\(192\)"):
        node_operation("linear_glu", 192)(inputs)


def test_base_class_asks_for_fuse():
    with pytest.raises(NotImplementedError, match="must state `fuse"):
        NodeOperation(CHANNELS)([np.zeros((1, 4, 4, CHANNELS), "float32")] * 2)
