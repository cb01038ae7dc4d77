import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from hfmnas_keras.backbones.word_topics import SPREAD, WordTopics
from tests.hfmnas_keras.layer_test_case import run_layer_test

VOCABULARY = 40


def make_tokens(rows, seed):
    """Texts of three subjects with words of their own, filled up with 0."""
    generator = np.random.default_rng(seed)
    tokens = np.zeros((rows, 12), "int64")
    for row in tokens:
        subject, length = generator.integers(3), generator.integers(3, 13)
        row[:length] = np.where(
            generator.random(length) < 0.6,
            1 + 10 * subject + generator.integers(10, size=length),
            31 + generator.integers(9, size=length),
        )
    return tokens


def by_scikit_learn(train, rows, topics):
    """The same by another library, up to the sign of a topic."""
    texts = [[" ".join(str(token) for token in row if token) for row in part] for part in (train, rows)]
    bags = TfidfVectorizer(sublinear_tf=True, min_df=2, token_pattern=r"\d+")
    train_bags = bags.fit_transform(texts[0])
    decomposition = TruncatedSVD(topics, algorithm="arpack", random_state=1)
    train_topics = decomposition.fit_transform(train_bags)
    found = decomposition.transform(bags.transform(texts[1]))
    return SPREAD * (found - train_topics.mean(0)) / train_topics.std(0)


def test_topics_are_scikit_learns():
    train, rows = make_tokens(200, 0), make_tokens(30, 1)
    # As many as there are subjects: those after them are nearly alike in size, which the iteration blurs.
    layer = WordTopics(VOCABULARY, 3)
    layer.build(train.shape)
    layer.adapt_rows(train)
    received = keras.ops.convert_to_numpy(layer(rows))
    expected = by_scikit_learn(train, rows, 3)
    signs = np.sign((received * expected).sum(axis=0))
    np.testing.assert_allclose(received * signs, expected, atol=2e-3)
    assert np.abs(expected).max() > 0.1


def test_padding_unknown_tokens_and_a_second_fit_change_nothing():
    train = make_tokens(100, 0)
    train[:, -1] = 0
    train[5, :3] = 39, 39, 1
    train[(train == 39) & (np.arange(100) != 5)[:, None]] = 38
    layer = WordTopics(VOCABULARY, 4)
    layer.build(train.shape)
    layer.adapt_rows(train)
    once = keras.ops.convert_to_numpy(layer(train))
    layer.adapt_rows(train)
    np.testing.assert_array_equal(once, layer(train))
    wider = np.pad(train, ((0, 0), (0, 7)))
    np.testing.assert_allclose(layer(wider), once, atol=1e-6)
    # In one row alone: it weighs nothing.
    np.testing.assert_allclose(layer(np.where(train == 39, 0, train)), once, atol=1e-6)


def test_topics_that_rows_do_not_have_are_zero():
    train = np.array([[1, 2, 0], [1, 3, 0], [1, 2, 0], [3, 1, 0]])
    layer = WordTopics(5, 6)
    layer.build(train.shape)
    assert not np.any(layer(train))
    layer.adapt_rows(train)
    topics = keras.ops.convert_to_numpy(layer(train))
    assert np.isfinite(topics).all() and np.any(topics) and not np.any(topics[:, 3:])
    layer.adapt_rows(np.array([[1], [2]]))
    assert not np.any(layer(train))


def test_as_a_layer():
    run_layer_test(lambda **kwargs: WordTopics(VOCABULARY, 3, **kwargs), make_tokens(2, 0), (2, 3), 3)


@pytest.mark.parametrize("sizes", [(0, 4), (10, 0)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match="at least 1. Received: vocabulary_size="):
        WordTopics(*sizes)


def test_what_is_adapted_is_saved(tmp_path):
    train = make_tokens(60, 0)
    inputs = keras.Input((12,), dtype="int64")
    model = keras.Model(inputs, WordTopics(VOCABULARY, 4)(inputs))
    model.layers[-1].adapt_rows(train)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(tf.constant(train)), model(tf.constant(train)), atol=1e-6)
