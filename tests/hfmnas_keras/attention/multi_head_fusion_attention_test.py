import keras
import numpy as np
import pytest

from hfmnas_keras.attention.multi_head_fusion_attention import MultiHeadFusionAttention
from tests.hfmnas_keras.layer_test_case import run_layer_test
from tests.hfmnas_keras.reference_arithmetic import check_gradients, random_grid, randomize_weights, weight_values
from tests.hfmnas_keras.reference_operations import multi_head_reference


def test_layer():
    # Inputs of different widths, as the two branches may have
    inputs = [random_grid(0, (3, 4, 2, 6)), random_grid(1, (3, 4, 2, 10))]
    run_layer_test(lambda: MultiHeadFusionAttention(8, num_heads=2), inputs, (3, 4, 2, 8), expected_num_weights=4)


def test_layer_on_sequences():
    inputs = [random_grid(0, (3, 5, 8)), random_grid(1, (3, 5, 8))]
    run_layer_test(lambda: MultiHeadFusionAttention(8, values="key"), inputs, (3, 5, 8), expected_num_weights=4)


@pytest.mark.parametrize("values", ["query", "key"])
def test_values_in_float64(values):
    first, second = (random_grid(seed, (2, 2, 3, 8)).astype("float64") for seed in (2, 3))
    layer = MultiHeadFusionAttention(8, num_heads=2, values=values, dtype="float64", name="attention")
    layer.build([first.shape, second.shape])
    randomize_weights(layer)
    expected = multi_head_reference(first, second, weight_values(layer), num_heads=2, values=values)
    np.testing.assert_allclose(layer([first, second]), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("values", ["query", "key"])
def test_gradients(values):
    inputs = [random_grid(seed, (2, 2, 3, 8)).astype("float64") for seed in (2, 3)]
    layer = MultiHeadFusionAttention(8, num_heads=2, values=values, dtype="float64", name="attention")
    layer.build([grid.shape for grid in inputs])
    randomize_weights(layer)
    check_gradients(layer, inputs, lambda moved, weights: multi_head_reference(*moved, weights, 2, values))


def test_key_values_equal_the_cross_attention_of_keras():
    """With `values="key"`, one direction is `keras.layers.MultiHeadAttention` with the same weights."""
    first, second = random_grid(4, (2, 6, 8)), random_grid(5, (2, 6, 8))
    layer = MultiHeadFusionAttention(8, num_heads=2, values="key")
    layer.build([first.shape, second.shape])
    kernels = [keras.ops.convert_to_numpy(each.kernel) for each in (layer.projection_1, layer.projection_2)]
    # Only the first direction's heads reach the output, each channel as it is.
    layer.output_projection.set_weights([np.concatenate([np.eye(8), np.zeros((8, 8))]), np.zeros(8)])
    oracle = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4, use_bias=False)
    oracle.build(first.shape, second.shape)
    query, key, value = kernels[0][:, :8], kernels[1][:, 8:16], kernels[1][:, 16:]
    oracle.set_weights([each.reshape(8, 2, 4) for each in (query, key, value)] + [np.eye(8).reshape(2, 4, 8)])
    np.testing.assert_allclose(layer([first, second]), oracle(first, second), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 6, "num_heads": 4}, "channels=6, num_heads=4"),
        ({"channels": 8, "values": "both"}, "values='both'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MultiHeadFusionAttention(**arguments)


def test_grids_of_different_sizes():
    with pytest.raises(ValueError, match="same size"):
        MultiHeadFusionAttention(8)([np.zeros((1, 4, 4, 8), "float32"), np.zeros((1, 4, 2, 8), "float32")])
