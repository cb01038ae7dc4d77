import numpy as np

from hfmnas_keras.backbones.caffe_preprocessing import CaffePreprocessing
from tests.hfmnas_keras.layer_test_case import run_layer_test


def test_is_a_sound_layer():
    run_layer_test(
        lambda **kwargs: CaffePreprocessing(**kwargs),
        np.random.default_rng(0).uniform(0, 255, size=(2, 4, 4, 3)).astype("float32"),
        expected_output_shape=(2, 4, 4, 3),
        expected_num_weights=0,
    )


def test_hand_numbers():
    """Pure red: blue and green lie at minus their means, red at 255 minus its own."""
    red = np.array([255, 0, 0], "float32").reshape(1, 1, 1, 3)
    np.testing.assert_allclose(CaffePreprocessing()(red).numpy().ravel(), [-103.939, -116.779, 131.32], atol=1e-4)
