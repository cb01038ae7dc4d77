"""All nine node operations: the shared layer test, and their values against float64 numpy."""

import keras
import numpy as np
import pytest

from hfmnas_keras.node_operations import NODE_OPERATIONS, NodeOperation, node_operation
from tests.hfmnas_keras.layer_test_case import run_layer_test
from tests.hfmnas_keras.reference_arithmetic import (
    depthwise_convolution,
    normalize_batch,
    normalize_layer,
    random_grid,
    randomize_weights,
    sigmoid,
    silu,
    softmax,
    weight_values,
)

CHANNELS = 8
GRIDS = [(4, 4), (8, 1), (5, 3), (1, 1)]
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


def _positions(grid):
    return grid.reshape(len(grid), -1, grid.shape[-1])


def _scaled_dot(first, second, weights, layer):
    rows_1, rows_2 = _positions(first), _positions(second)
    scores = softmax(rows_1 @ rows_2.transpose(0, 2, 1) / np.sqrt(CHANNELS))
    return (scores @ rows_2).reshape(first.shape)


def _bidirectional(first, second, weights, layer):
    rows_1, rows_2 = _positions(first), _positions(second)
    affinity = rows_1 @ weights["affinity_kernel"] @ rows_2.transpose(0, 2, 1) / np.sqrt(CHANNELS)
    attended_1 = softmax(affinity) @ rows_2
    attended_2 = softmax(affinity.transpose(0, 2, 1)) @ rows_1
    fused = np.concatenate([attended_1, attended_2], axis=-1) @ weights["dense/kernel"] + weights["dense/bias"]
    return fused.reshape(first.shape)


def _multi_head(first, second, weights, layer):
    rows = [_positions(first), _positions(second)]
    query, key, value = zip(
        *[np.split(rows[i] @ weights[f"attention/projection_{i + 1}/kernel"], 3, axis=-1) for i in (0, 1)], strict=True
    )
    heads = []
    for own, other in ((0, 1), (1, 0)):
        for head in np.split(np.arange(CHANNELS), 4):
            logits = query[own][..., head] @ key[other][..., head].transpose(0, 2, 1) / np.sqrt(len(head))
            heads.append(softmax(logits) @ value[own][..., head])
    projected = np.concatenate(heads, axis=-1) @ weights["attention/output_projection/kernel"]
    return (projected + weights["attention/output_projection/bias"]).reshape(first.shape)


def _squeeze(first, second, weights, layer):
    excitation = sigmoid(first.mean(axis=(1, 2)) @ weights["dense/kernel"] + weights["dense/bias"])
    return excitation[:, None, None] * second


def _gated(first, second, weights, layer):
    return (first @ weights["value/kernel"]) * sigmoid(second @ weights["gate/kernel"])


def _concatenated(first, second, weights, layer):
    projected = np.concatenate([first, second], axis=-1) @ weights["dense/kernel"]
    return np.maximum(normalize_batch(projected), 0)


def _mamba(first, second, weights, layer):
    filtered, gates = [], []
    for index, grid in enumerate((first, second)):
        projected = grid @ weights[f"projection_{index + 1}/kernel"]
        half = slice(index * CHANNELS, (index + 1) * CHANNELS)
        kernel, bias = weights["depthwise_kernel"][:, :, half], weights["depthwise_bias"][half]
        filtered.append(depthwise_convolution(projected[..., :CHANNELS], kernel) + bias)
        gates.append(projected[..., CHANNELS:])
    # ES2D has a test of its own against a plain recurrence.
    scanned = layer.scan_grid(silu(filtered[0] * filtered[1]))
    return (scanned * silu(gates[0]) + scanned * silu(gates[1])) @ weights["output_projection/kernel"]


REFERENCES = {
    "sum": lambda first, second, weights, layer: first + second,
    "multiply": lambda first, second, weights, layer: first * second,
    "scaled_dot_attention": _scaled_dot,
    "bidirectional_attention": _bidirectional,
    "multi_head_attention": _multi_head,
    "squeeze_excitation": _squeeze,
    "linear_glu": _gated,
    "concat_fc": _concatenated,
    "mamba_fusion": _mamba,
}


# On a grid of one position attention has nothing to choose from, which Keras remarks on and we mean.
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis:UserWarning")
@pytest.mark.parametrize("operation", NODE_OPERATIONS)
@pytest.mark.parametrize("grid", GRIDS)
def test_values_in_float64(operation, grid):
    first, second = (random_grid(seed, (3, *grid, CHANNELS)).astype("float64") for seed in (2, 3))
    layer = node_operation(operation, CHANNELS, dropout=0.0, affine=False, dtype="float64", name="node")
    layer.build([first.shape, second.shape])
    randomize_weights(layer)
    if operation == "mamba_fusion":
        layer.scan_grid = lambda values: keras.ops.convert_to_numpy(layer.scan(values))
    expected = REFERENCES[operation](first, second, weight_values(layer), layer)
    np.testing.assert_allclose(layer.fuse(first, second, training=True), expected, rtol=0, atol=1e-5)
    outputs = layer([first, second], training=True)
    np.testing.assert_allclose(outputs, normalize_layer(expected), rtol=0, atol=1e-5)


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
