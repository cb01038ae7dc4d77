import math

import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.adaptive_average_pool import AdaptiveAveragePool
from hfmnas_keras.backbones.adaptive_max_pool import AdaptiveMaxPool
from tests.hfmnas_keras.layer_test_case import run_layer_test


def pooled_by_definition(inputs, grid, reduce):
    """torch.nn.AdaptiveMaxPool2d and AdaptiveAvgPool2d, cell by cell."""
    height, width = inputs.shape[1:3]
    output = np.empty((len(inputs), *grid, inputs.shape[-1]), inputs.dtype)
    for i in range(grid[0]):
        rows = slice(math.floor(i * height / grid[0]), math.ceil((i + 1) * height / grid[0]))
        for j in range(grid[1]):
            columns = slice(math.floor(j * width / grid[1]), math.ceil((j + 1) * width / grid[1]))
            output[:, i, j] = reduce(inputs[:, rows, columns], axis=(1, 2))
    return output


@pytest.mark.parametrize("layer", [AdaptiveMaxPool, AdaptiveAveragePool])
def test_is_a_sound_layer(layer):
    run_layer_test(
        lambda **kwargs: layer((2, 3), **kwargs),
        np.random.default_rng(0).normal(size=(2, 5, 7, 3)).astype("float32"),
        expected_output_shape=(2, 2, 3, 3),
        expected_num_weights=0,
    )


@pytest.mark.parametrize("size", [(4, 4), (16, 16), (9, 9), (5, 13), (3, 2), (1, 1)])
@pytest.mark.parametrize("grid", [(4, 4), (8, 1), (2, 3)])
def test_equals_the_definition_for_any_size(size, grid):
    inputs = np.random.default_rng(1).normal(size=(2, *size, 3)).astype("float32")
    np.testing.assert_array_equal(AdaptiveMaxPool(grid)(inputs), pooled_by_definition(inputs, grid, np.max))
    averages = pooled_by_definition(inputs, grid, np.mean)
    np.testing.assert_allclose(AdaptiveAveragePool(grid)(inputs), averages, rtol=1e-5, atol=1e-6)


def test_rejects_what_it_cannot_pool():
    with pytest.raises(ValueError, match="known size"):
        AdaptiveMaxPool((2, 2))(keras.Input((None, None, 3)))
    with pytest.raises(ValueError, match="two positive ints"):
        AdaptiveMaxPool((0, 2))
