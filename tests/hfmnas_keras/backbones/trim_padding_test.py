import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.backbones.trim_padding import TrimPadding
from tests.hfmnas_keras.layer_test_case import run_layer_test

# The longest text has three tokens, and a zero in it.
TOKENS = np.array([[5, 6, 0, 0, 0], [7, 0, 8, 0, 0]])


def test_is_a_sound_layer():
    run_layer_test(
        lambda **kwargs: TrimPadding(**kwargs),
        np.full((2, 5), 3),
        expected_output_shape=(2, 5),
        expected_num_weights=0,
        mixed_output_dtype="int64",
    )


@pytest.mark.parametrize("number", ["int32", "int64"])
def test_what_no_text_needs_is_cut_off(number):
    tokens = TOKENS.astype(number)
    for call in (TrimPadding(), tf.function(TrimPadding())):
        trimmed = call(tf.constant(tokens))
        assert trimmed.dtype == number
        np.testing.assert_array_equal(trimmed, tokens[:, :3])


def test_a_column_is_left_of_padding_alone():
    np.testing.assert_array_equal(TrimPadding()(0 * TOKENS), [[0], [0]])


def test_it_is_built_for_the_longest():
    tokens = TrimPadding()(keras.Input((5,), dtype="int64"))
    assert (tokens.shape, tokens.dtype) == ((None, 5), "int64")
