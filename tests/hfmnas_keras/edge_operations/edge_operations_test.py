"""All ten edge operations: the shared layer test, and values and gradients against float64 numpy."""

import keras
import numpy as np
import pytest

from hfmnas_keras.edge_operations import EDGE_OPERATIONS, edge_operation
from tests.hfmnas_keras.layer_test_case import run_layer_test
from tests.hfmnas_keras.reference_arithmetic import (
    check_gradients,
    random_grid,
    randomize_statistics,
    randomize_weights,
    weight_values,
)
from tests.hfmnas_keras.reference_operations import edge_reference


def _num_weights(operation, affine):
    normalization = 4 if affine else 2
    if operation in ("none", "skip"):
        return 0
    return {"max_pool_3x3": 0, "avg_pool_3x3": 0, "sep_conv_3x3": 4 + normalization}.get(operation, 2) + normalization


@pytest.mark.parametrize("operation", EDGE_OPERATIONS)
@pytest.mark.parametrize(("grid", "affine"), [((4, 4), True), ((8, 1), False)])
def test_layer(operation, grid, affine):
    inputs = random_grid(0, (3, *grid, 8))
    run_layer_test(
        lambda: edge_operation(operation, 8, dropout=0.2, affine=affine),
        inputs,
        inputs.shape,
        expected_num_weights=_num_weights(operation, affine),
    )


def make_layer(operation, shape, affine, dtype):
    layer = edge_operation(operation, shape[-1], dropout=0.0, affine=affine, dtype=dtype, name="edge")
    layer.build(shape)
    randomize_weights(layer)
    randomize_statistics(layer)
    return layer


@pytest.mark.parametrize("operation", EDGE_OPERATIONS)
@pytest.mark.parametrize(("batch", "grid"), [(4, (4, 4)), (3, (8, 1)), (1, (5, 3)), (2, (5, 3)), (1, (1, 1))])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_values(operation, batch, grid, dtype):
    inputs = random_grid(1, (batch, *grid, 6)).astype(dtype)
    for affine, training in ((False, True), (True, True), (True, False)):
        layer = make_layer(operation, inputs.shape, affine, dtype)
        expected = edge_reference(operation, inputs.astype("float64"), weight_values(layer), training)
        outputs = layer(inputs, training=training)
        np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-10 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("operation", EDGE_OPERATIONS)
@pytest.mark.parametrize("grid", [(5, 3), (4, 4)])
def test_gradients(operation, grid):
    inputs = random_grid(2, (3, *grid, 4)).astype("float64")
    layer = make_layer(operation, inputs.shape, True, "float64")
    check_gradients(layer, [inputs], lambda moved, weights: edge_reference(operation, moved[0], weights))


def test_order_is_that_of_the_method():
    assert EDGE_OPERATIONS == (
        "none",
        "skip",
        "max_pool_3x3",
        "avg_pool_3x3",
        "sep_conv_3x3",
        "dil_conv_3x3",
        "linear_relu",
        "linear_sigmoid",
        "linear_tanh",
        "linear_elu",
    )


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="'conv_7x7'.*none, skip, .*linear_elu"):
        edge_operation("conv_7x7", 8)


@pytest.mark.parametrize("shape", [(2, 4, 4, 7), (2, 8)])
def test_wrong_input_says_what_came_and_what_is_expected(shape):
    with pytest.raises(ValueError, match=r"(?s)`SeparableConvolution` needs .*8\).*Received: \("):
        edge_operation("sep_conv_3x3", 8)(np.zeros(shape, "float32"))


def test_average_does_not_count_padding():
    layer = edge_operation("avg_pool_3x3", 1, affine=False)
    outputs = keras.ops.convert_to_numpy(layer(np.ones((1, 4, 4, 1), "float32"), training=False))
    # All the same: with the padding counted a corner would be 4/9 of the middle.
    np.testing.assert_allclose(outputs, outputs[0, 1, 1, 0], rtol=1e-6)


def test_dropout_and_affine_reach_the_layer():
    inputs = np.ones((1, 4, 4, 64), "float32")
    keras.utils.set_random_seed(0)
    layer = edge_operation("linear_tanh", 64, dropout=0.5, affine=True)
    layer(inputs)
    layer.normalization.beta.assign(np.ones(64))
    dropped = keras.ops.convert_to_numpy(layer(inputs, training=True)) == 0
    assert 0.3 < dropped.mean() < 0.7
