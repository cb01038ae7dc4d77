import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.token_pool import TokenPool
from tests.hfmnas_keras.layer_test_case import run_layer_test

STATES = np.arange(24, dtype="float32").reshape(2, 4, 3)
TOKENS = np.array([[5, 6, 0, 0], [7, 0, 8, 9]])


def test_is_a_sound_layer():
    run_layer_test(
        lambda **kwargs: TokenPool("mean", **kwargs),
        [STATES, TOKENS],
        expected_output_shape=(2, 3),
        expected_num_weights=0,
    )


def test_the_mean_leaves_padding_out():
    # Rows 0 and 1; rows 0, 2 and 3 of the second text.
    expected = [STATES[0, :2].mean(0), STATES[1, [0, 2, 3]].mean(0)]
    np.testing.assert_allclose(TokenPool()([STATES, TOKENS]), expected)


def test_the_first_state_is_one():
    np.testing.assert_array_equal(TokenPool("first")([STATES, TOKENS]), STATES[:, 0])


def test_a_text_of_padding_alone_gives_zeros():
    np.testing.assert_array_equal(TokenPool()([STATES, 0 * TOKENS]), np.zeros((2, 3)))


def test_a_long_text_keeps_its_mean_in_half_precision():
    states = np.full((1, 4096, 2), 30.0, "float16")
    pooled = TokenPool(dtype="mixed_float16")([states, np.ones((1, 4096), int)])
    np.testing.assert_array_equal(pooled, [[30.0, 30.0]])


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="must be"):
        TokenPool("max")
    with pytest.raises(ValueError, match="states of tokens and the tokens"):
        TokenPool()([keras.Input((3,)), keras.Input((4,))])
