import numpy as np
import pytest

from hfmnas_keras.backbones.mean_word_vector import MeanWordVector


def test_is_the_mean_over_known_words_and_zero_without_any():
    layer = MeanWordVector(8, 4)
    tokens = np.array([[3, 5, 0, 7], [6, 6, 1, 2], [0, 0, 0, 0], [7, 7, 0, 0]])
    output = np.asarray(layer(tokens))
    table = np.asarray(layer.embedding.embeddings)
    np.testing.assert_allclose(output[0], (table[3] + table[5]) / 2, atol=1e-6)
    np.testing.assert_allclose(output[1], (2 * table[6] + table[1] + table[2]) / 4, atol=1e-6)
    np.testing.assert_array_equal(output[2:], np.zeros((2, 4)))


def test_half_precision_counts_long_texts_right():
    """Counting 3000 tokens must not stop at float16's 2048."""
    layer = MeanWordVector(3, 4, dtype="mixed_float16")
    tokens = np.ones((1, 3000), "int64")
    output = np.asarray(layer(tokens))
    np.testing.assert_allclose(output[0], np.asarray(layer.embedding.embeddings)[1], rtol=1e-2, atol=1e-3)


def test_token_dropout_leaves_tokens_out_while_training_only():
    """Texts of two words: what is left is the mean of the words that were kept."""
    layer = MeanWordVector(4, 1, token_dropout=0.5)
    layer.build((None, 2))
    layer.embedding.embeddings.assign([[0.0], [1.0], [3.0], [9.0]])
    tokens = np.tile([[1, 2]], (2000, 1))
    np.testing.assert_array_equal(np.unique(layer(tokens)), [2.0])
    values, counts = np.unique(np.asarray(layer(tokens, training=True)), return_counts=True)
    np.testing.assert_array_equal(values, [0.0, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(counts / 2000, 0.25, atol=0.05)


def test_config_round_trip_and_checks():
    layer = MeanWordVector.from_config(MeanWordVector(7, 4, token_dropout=0.25).get_config())
    assert layer.token_dropout == 0.25
    assert layer(np.ones((2, 3), "int64")).shape == layer.compute_output_shape((2, 3)) == (2, 4)
    with pytest.raises(ValueError, match="vocabulary_size"):
        MeanWordVector(0, 4)
    with pytest.raises(ValueError, match="token_dropout"):
        MeanWordVector(7, 4, token_dropout=1.0)
