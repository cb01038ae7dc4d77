import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.models.parts.feature_grid import FeatureGrid
from tests.hfmnas_keras.layer_test_case import run_layer_test


@pytest.mark.parametrize("vector_to_grid", ["project", "tile"])
def test_layer_on_a_vector(vector_to_grid):
    inputs = np.random.default_rng(0).normal(size=(3, 7)).astype("float32")
    run_layer_test(
        lambda: FeatureGrid(4, grid=(3, 2), vector_to_grid=vector_to_grid, dropout=0.2),
        inputs,
        expected_output_shape=(3, 3, 2, 4),
        expected_num_weights=5,
    )


def test_layer_on_a_map():
    inputs = np.random.default_rng(0).normal(size=(3, 4, 4, 5)).astype("float32")
    run_layer_test(lambda: FeatureGrid(6), inputs, expected_output_shape=(3, 4, 4, 6), expected_num_weights=5)


def test_values_against_numpy():
    generator = np.random.default_rng(0)
    maps, vectors = generator.normal(size=(2, 4, 4, 3)), generator.normal(size=(2, 3))
    kernel = generator.normal(size=(3, 5))
    for inputs, vector_to_grid in ((maps, "project"), (vectors, "tile")):
        layer = FeatureGrid(5, vector_to_grid=vector_to_grid)
        layer.build(inputs.shape)
        layer.projection.kernel.assign(kernel)
        scale, offset, mean = generator.normal(size=(3, 5))
        variance = generator.uniform(0.5, 2.0, size=5)
        layer.norm.set_weights([scale, offset, mean, variance])
        expected = np.maximum((inputs @ kernel - mean) / np.sqrt(variance + 1e-3) * scale + offset, 0)
        if vector_to_grid == "tile":
            expected = np.broadcast_to(expected[:, None, None], (2, 4, 4, 5))
        np.testing.assert_allclose(layer(inputs.astype("float32")), expected, atol=1e-5)


def test_projected_vector_has_positions_of_its_own():
    keras.utils.set_random_seed(0)
    vector = np.random.default_rng(0).normal(size=(1, 6)).astype("float32")
    projected = ops.convert_to_numpy(FeatureGrid(4)(vector))
    assert len(np.unique(projected.reshape(16, 4), axis=0)) > 8


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, any\).*Received: \(None, 7, 7, 3\).*AdaptiveMaxPool"):
        FeatureGrid(4).build((None, 7, 7, 3))
    with pytest.raises(ValueError, match="'project', 'tile'"):
        FeatureGrid(4, vector_to_grid="stretch")
    with pytest.raises(ValueError, match="at least 1"):
        FeatureGrid(4, grid=(4, 0))
