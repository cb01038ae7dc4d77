"""All ten edge operations: the shared layer test, and their values in training against float64 numpy."""

import keras
import numpy as np
import pytest

from hfmnas_keras.edge_operations import EDGE_OPERATIONS, edge_operation
from tests.hfmnas_keras.layer_test_case import run_layer_test
from tests.hfmnas_keras.reference_arithmetic import (
    depthwise_convolution,
    neighbourhoods,
    normalize_batch,
    random_grid,
    randomize_weights,
    sigmoid,
    weight_values,
)

GRIDS = [(4, 4), (8, 1), (5, 3), (1, 1)]


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


def _pool(inputs, reduce):
    outputs = np.zeros_like(inputs)
    for row, column, neighbours in neighbourhoods(*inputs.shape[1:3]):
        outputs[:, row, column] = reduce([inputs[:, each[0], each[1]] for each in neighbours], axis=0)
    return normalize_batch(outputs)


def _separable(inputs, weights):
    for stage in (1, 2):
        filtered = depthwise_convolution(np.maximum(inputs, 0), weights[f"depthwise_kernel_{stage}"])
        inputs = normalize_batch(filtered @ weights[f"pointwise_kernel_{stage}"])
    return inputs


def _dilated(inputs, weights):
    filtered = depthwise_convolution(np.maximum(inputs, 0), weights["depthwise_kernel"], dilation=2)
    return normalize_batch(filtered @ weights["pointwise_kernel"])


def _linear(activation):
    return lambda inputs, weights: normalize_batch(activation(inputs @ weights["dense/kernel"] + weights["dense/bias"]))


REFERENCES = {
    "none": lambda inputs, weights: np.zeros_like(inputs),
    "skip": lambda inputs, weights: inputs,
    "max_pool_3x3": lambda inputs, weights: _pool(inputs, np.max),
    "avg_pool_3x3": lambda inputs, weights: _pool(inputs, np.mean),
    "sep_conv_3x3": _separable,
    "dil_conv_3x3": _dilated,
    "linear_relu": _linear(lambda values: np.maximum(values, 0)),
    "linear_sigmoid": _linear(sigmoid),
    "linear_tanh": _linear(np.tanh),
    "linear_elu": _linear(lambda values: np.where(values > 0, values, np.expm1(np.minimum(values, 0)))),
}


@pytest.mark.parametrize("operation", EDGE_OPERATIONS)
@pytest.mark.parametrize("grid", GRIDS)
def test_values_in_float64(operation, grid):
    inputs = random_grid(1, (4, *grid, 6)).astype("float64")
    layer = edge_operation(operation, 6, dropout=0.0, affine=False, dtype="float64", name="edge")
    layer.build(inputs.shape)
    randomize_weights(layer)
    expected = REFERENCES[operation](inputs, weight_values(layer))
    np.testing.assert_allclose(layer(inputs, training=True), expected, rtol=0, atol=1e-5)


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
