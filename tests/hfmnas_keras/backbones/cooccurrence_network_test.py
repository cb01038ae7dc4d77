import numpy as np
import pytest

from hfmnas_keras.backbones.cooccurrence_network import CooccurrenceNetwork
from tests.hfmnas_keras.layer_test_case import run_layer_test


def test_is_a_sound_layer():
    run_layer_test(
        lambda **kwargs: CooccurrenceNetwork(1 / 8, dropout=0.0, **kwargs),
        np.random.default_rng(0).normal(size=(2, 16, 2, 5, 3)).astype("float32"),
        expected_output_shape={"conv5": (2, 2, 4, 16), "conv6": (2, 1, 2, 32), "flattened": (2, 64), "fc7": (2, 64)},
        expected_num_weights=22,
    )


def test_full_size_is_the_published_network():
    # The layer table of the paper at 32 frames, 25 joints, 3 coordinates: inputs x kernel x filters + biases.
    stream = (3 * 64 + 64) + (64 * 3 * 32 + 32) + (25 * 9 * 32 + 32) + (32 * 9 * 64 + 64)
    joined = (128 * 9 * 128 + 128) + (128 * 9 * 256 + 256) + (256 * 2 * 2 * 512 + 512)
    network = CooccurrenceNetwork()
    network.build((None, 32, 2, 25, 3))
    assert network.count_params() == 2 * stream + joined == 1_031_872


def test_the_order_of_bodies_does_not_matter():
    inputs = np.random.default_rng(0).normal(size=(2, 16, 2, 5, 3)).astype("float32")
    network = CooccurrenceNetwork(1 / 8)
    np.testing.assert_allclose(network(inputs)["fc7"], network(inputs[:, :, ::-1])["fc7"], atol=1e-6)


def test_motion_of_an_even_walk_is_its_step():
    network = CooccurrenceNetwork(1 / 8)
    network.build((None, 16, 2, 5, 3))
    np.testing.assert_allclose(network.motion_matrix @ (3.0 * np.arange(16)), np.full(16, 3.0), atol=1e-5)


def test_rejects_few_frames():
    with pytest.raises(ValueError, match="at least 16 frames"):
        CooccurrenceNetwork().build((None, 15, 2, 25, 3))


def test_frozen_it_is_in_inference_mode():
    network = CooccurrenceNetwork(1 / 8, trainable=False)
    inputs = np.random.default_rng(0).normal(size=(2, 16, 2, 5, 3)).astype("float32")
    np.testing.assert_array_equal(network(inputs, training=True)["fc7"], network(inputs)["fc7"])
    assert network.trainable_weights == []
