import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.token_grid import TokenGrid
from tests.hfmnas_keras.layer_test_case import run_layer_test

STATES = np.arange(30, dtype="float32").reshape(2, 5, 3) ** 1.5
TOKENS = np.array([[5, 6, 8, 9, 2], [7, 8, 9, 0, 0]])


def test_is_a_sound_layer():
    run_layer_test(
        lambda **kwargs: TokenGrid((2, 2), **kwargs),
        [STATES, TOKENS],
        expected_output_shape=(2, 2, 2, 3),
        expected_num_weights=0,
    )


def test_cells_are_means_over_equal_parts_of_a_text_in_its_order():
    # Five tokens in four cells, then three.
    parts = [[(0, 2), (1, 3), (2, 4), (3, 5)], [(0, 1), (0, 2), (1, 3), (2, 3)]]
    expected = [[states[a:b].mean(0) for a, b in cells] for states, cells in zip(STATES, parts, strict=True)]
    np.testing.assert_allclose(TokenGrid((2, 2))([STATES, TOKENS]), np.reshape(expected, (2, 2, 2, 3)), rtol=1e-5)


def test_one_cell_is_the_mean_over_the_tokens():
    expected = [STATES[0].mean(0), STATES[1, :3].mean(0)]
    np.testing.assert_allclose(np.reshape(TokenGrid((1, 1))([STATES, TOKENS]), (2, 3)), expected, rtol=1e-5)


def test_a_text_of_padding_alone_gives_zeros():
    np.testing.assert_array_equal(TokenGrid((2, 1))([STATES, 0 * TOKENS]), np.zeros((2, 2, 1, 3)))


def test_padding_that_is_cut_off_changes_nothing():
    cut = TokenGrid((2, 2))([STATES[1:, :3], TOKENS[1:, :3]])
    np.testing.assert_allclose(cut[0], TokenGrid((2, 2))([STATES, TOKENS])[1], rtol=1e-6)


def test_a_long_text_keeps_its_means_in_half_precision():
    states = np.full((1, 4096, 2), 30.0, "float16")
    pooled = TokenGrid((1, 1), dtype="mixed_float16")([states, np.ones((1, 4096), int)])
    np.testing.assert_array_equal(np.reshape(pooled, (1, 2)), [[30.0, 30.0]])


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="two positive ints"):
        TokenGrid((0, 2))
    with pytest.raises(ValueError, match="states of tokens and the tokens"):
        TokenGrid((2, 2))([keras.Input((3,)), keras.Input((4,))])
