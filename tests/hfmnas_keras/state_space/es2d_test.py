import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.state_space.es2d import ES2D, LONGEST_UNROLLED_SCAN
from tests.hfmnas_keras.layer_test_case import run_layer_test
from tests.hfmnas_keras.reference_arithmetic import check_gradients, random_grid, randomize_weights, weight_values
from tests.hfmnas_keras.reference_operations import es2d_reference

# The last two are long enough to go in chunks: 3 chunks, and 20 chunks that are a long sequence again.
GRIDS = [(4, 4), (8, 1), (1, 5), (5, 3), (3, 4), (1, 1), (2, 2), (12, 11), (40, 32)]


@pytest.mark.parametrize("grid", [(4, 4), (5, 3), (12, 11)])
def test_layer(grid):
    inputs = random_grid(0, (2, *grid, 6))
    run_layer_test(lambda: ES2D(6), inputs, inputs.shape, expected_num_weights=7)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("channels", [6, 20])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_equals_a_plain_recurrence(grid, channels, dtype):
    inputs = random_grid(1, (3, *grid, channels)).astype(dtype)
    layer = ES2D(channels, affine=False, dtype=dtype, name="scan")
    layer.build(inputs.shape)
    assert (layer.length > LONGEST_UNROLLED_SCAN) == (grid in GRIDS[-2:])
    if dtype == "float64":
        randomize_weights(layer)
    expected = es2d_reference(inputs.astype("float64"), weight_values(layer))
    np.testing.assert_allclose(layer(inputs), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("grid", GRIDS)
def test_put_back_is_the_identity_when_the_scan_is(grid):
    inputs = random_grid(2, (2, *grid, 3))
    layer = ES2D(3, affine=False)
    layer.build(inputs.shape)
    np.testing.assert_array_equal(layer.put_back(layer.to_sequences(inputs)), inputs)


def test_order_of_the_sequences():
    layer = ES2D(1)
    layer.build((None, 4, 4, 1))
    sequences = layer.to_sequences(np.arange(16, dtype="float32").reshape(1, 4, 4, 1))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(sequences)[:, 0, :, 0],
        [[0, 2, 8, 10], [1, 3, 9, 11], [4, 12, 6, 14], [5, 13, 7, 15]],
    )


def test_initial_values():
    layer = ES2D(40)
    layer.build((None, 4, 4, 40))
    np.testing.assert_allclose(
        layer.decay_log.numpy(), np.broadcast_to(np.log(np.arange(1, 17)), (4, 40, 16)), atol=1e-6
    )
    steps = np.log1p(np.exp(layer.step_bias.numpy().astype("float64")))
    assert 1e-3 * 0.999 <= steps.min() < 5e-3 and 2e-2 < steps.max() <= 0.1 * 1.001
    assert layer.step_kernel.shape == (4, 3, 40)
    np.testing.assert_array_equal(layer.skip.numpy(), 1.0)


# Short, unpadded; shorter sequences than others; in chunks.
@pytest.mark.parametrize("grid", [(4, 4), (5, 3), (12, 11)])
def test_gradients_equal_finite_differences_of_the_recurrence(grid):
    inputs = random_grid(4, (2, *grid, 4)).astype("float64")
    layer = ES2D(4, dtype="float64", name="scan")
    layer.build(inputs.shape)
    randomize_weights(layer)
    check_gradients(layer, [inputs], lambda moved, weights: es2d_reference(moved[0], weights))


@pytest.mark.parametrize("scale", [0.0, 1e-4, 1e4])
@pytest.mark.parametrize("grid", [(4, 4), (12, 11)])
def test_gradients_stay_finite(grid, scale):
    layer = ES2D(4)
    inputs = tf.constant(scale * random_grid(3, (2, *grid, 4)))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = keras.ops.mean(keras.ops.square(layer(inputs) - 1.0))
    for gradient in tape.gradient(loss, [inputs, *[weight.value for weight in layer.trainable_weights]]):
        assert gradient is not None and np.isfinite(gradient).all()


def test_unknown_size_is_refused():
    with pytest.raises(ValueError, match="known height and width"):
        ES2D(4).build((None, None, 4, 4))
