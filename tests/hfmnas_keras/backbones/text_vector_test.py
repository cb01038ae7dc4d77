import keras
import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from hfmnas_keras.backbones.text_vector import SCALE, TextVector
from tests.hfmnas_keras.layer_test_case import run_layer_test

TEXTS = ["the cat", "the dog", "the vampire", "the cat and the dog"]
WORDS = {"the": 1, "cat": 2, "dog": 3, "vampire": 4, "and": 5}
UNKNOWN = 6


def ids(text, length=5):
    tokens = [WORDS.get(word, UNKNOWN) for word in text.split()]
    return tokens + [0] * (length - len(tokens))


def rows(texts):
    return np.array([ids(text) for text in texts])


def adapted(texts, **arguments):
    layer = TextVector(7, 4, **arguments)
    layer.build((None, 5))
    layer.adapt_rows(rows(texts))
    return layer


def test_weighs_words_as_scikit_learn_does():
    """Texts without a word twice: there the weights are those of tf-idf of unit length."""
    layer = adapted(TEXTS)
    vectorizer = TfidfVectorizer(vocabulary={word: number - 1 for word, number in WORDS.items()}).fit(TEXTS)
    texts = ["the vampire", "dog the cat", "cat", "wolf cat", "wolf", ""]
    vectors = SCALE * np.asarray(layer.embedding.embeddings)[1:UNKNOWN]
    expected = vectorizer.transform(texts).toarray() @ vectors
    np.testing.assert_allclose(layer(rows(texts)), expected, atol=1e-6)
    assert not np.asarray(layer(rows(["wolf", ""]))).any()


def test_before_any_rows_all_known_words_weigh_the_same():
    layer = TextVector(7, 4)
    output = layer(rows(["the cat wolf"]))[0]
    table = SCALE * np.asarray(layer.embedding.embeddings)
    np.testing.assert_allclose(output, (table[1] + table[2]) / np.sqrt(2), atol=1e-6)


def test_what_the_rows_lack_is_unknown():
    layer = adapted(TEXTS[:2])
    np.testing.assert_array_equal(layer(rows(["the vampire"])), layer(rows(["the"])))
    # Once in a row or twice is one row.
    often = adapted(["cat cat", "the dog", "the"], min_rows=2)
    assert [number for number in np.flatnonzero(often.rarity) if number] == [WORDS["the"]]


def test_adapting_again_forgets_the_rows_before():
    layer = adapted(TEXTS)
    layer.adapt_rows(rows(TEXTS[:2]))
    np.testing.assert_array_equal(layer.rarity, adapted(TEXTS[:2]).rarity)


def test_reads_its_columns_alone():
    tokens = np.concatenate([rows(TEXTS), rows(TEXTS[::-1])], axis=1)
    layer = TextVector(7, 4, columns=(5, 10))
    layer.build((None, 10))
    layer.adapt_rows(tokens[:2])
    plain = adapted(TEXTS[:1:-1])
    plain.embedding.embeddings.assign(layer.embedding.embeddings)
    np.testing.assert_allclose(layer(tokens), plain(rows(TEXTS[::-1])), atol=1e-6)


def test_half_precision_counts_long_texts_right():
    """Counting 3000 tokens must not stop at float16's 2048."""
    layer = TextVector(3, 4, dtype="mixed_float16")
    output = np.asarray(layer(np.ones((1, 3000), "int64")))
    expected = SCALE * np.asarray(layer.embedding.embeddings)[1] * np.sqrt(3000)
    np.testing.assert_allclose(output[0], expected, rtol=1e-2, atol=1e-2)


def test_token_dropout_leaves_tokens_out_while_training_only():
    """Texts of two words: what is left weighs twice as much, so that the mean over many draws stays."""
    layer = TextVector(4, 1, token_dropout=0.5)
    layer.build((None, 2))
    layer.embedding.embeddings.assign(np.array([[0.0], [1.0], [3.0], [9.0]]) / SCALE)
    tokens = np.tile([[1, 2]], (2000, 1))
    np.testing.assert_allclose(np.unique(layer(tokens)), [4 / np.sqrt(2)], rtol=1e-6)
    values, counts = np.unique(np.asarray(layer(tokens, training=True)), return_counts=True)
    np.testing.assert_allclose(values, np.array([0, 2, 6, 8]) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(counts / 2000, 0.25, atol=0.05)


def test_layer():
    run_layer_test(
        lambda: TextVector(7, 4, token_dropout=0.25, columns=(1, 4), min_rows=2),
        rows(TEXTS),
        expected_output_shape=(4, 4),
        expected_num_weights=2,
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"vocabulary_size": 0}, "vocabulary_size"),
        ({"token_dropout": 1.0}, "token_dropout"),
        ({"columns": (3, 3)}, "columns"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        TextVector(**{"vocabulary_size": 7, "embedding_dim": 4, **arguments})
    assert keras.saving.get_registered_object("hfmnas_keras>TextVector") is TextVector
