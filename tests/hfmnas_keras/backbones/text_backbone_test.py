import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.text_backbone import text_backbone
from hfmnas_keras.backbones.text_vector import SCALE
from hfmnas_keras.settings.backbones import TextBackboneSettings

SMALL = TextBackboneSettings(embedding_dim=5, hidden_units=(4, 6), pieces=2)
TOKENS = np.array([[1, 2, 3, 0], [4, 0, 0, 0], [0, 0, 0, 0], [9, 9, 9, 9]])


def test_defaults_are_the_papers():
    backbone = text_backbone(10, 4, 23)
    assert {name: tuple(t.shape) for name, t in backbone.output.items()} == {
        "low": (None, 64),
        "high": (None, 128),
        "logits": (None, 23),
    }
    assert backbone.get_layer("low_maxout").pieces == 5
    assert backbone.get_layer("low_dropout").rate == 0.5
    maxouts = [backbone.get_layer(name) for name in ("low_maxout", "high_maxout")]
    assert sum(layer.count_params() for layer in maxouts) == 5 * (300 * 64 + 64 + 64 * 128 + 128) == 137_920


def test_taps_lie_before_normalisation_and_match_numpy():
    backbone = text_backbone(10, 4, 3, SMALL)
    normalization = backbone.get_layer("low_normalization")
    rng = np.random.default_rng(0)
    normalization.set_weights([rng.uniform(0.5, 2, size=4) for _ in range(4)])
    outputs = backbone(TOKENS)
    table = SCALE * np.asarray(backbone.get_layer("word_vector").embedding.embeddings, "float64")

    def maxout(layer, values):
        kernel, bias = (np.asarray(w, "float64") for w in layer.linear.weights)
        return (values @ kernel + bias).reshape(len(values), layer.pieces, layer.units).max(axis=1)

    known = [row[(row > 0) & (row < 9)] for row in TOKENS]
    # Before any rows: all weigh the same.
    sums = np.stack([table[words].sum(0) / np.sqrt(max(len(words), 1)) for words in known])
    low = maxout(backbone.get_layer("low_maxout"), sums)
    gamma, beta, moving_mean, moving_variance = (np.asarray(w) for w in normalization.get_weights())
    normal = (low - moving_mean) / np.sqrt(moving_variance + normalization.epsilon) * gamma + beta
    high = maxout(backbone.get_layer("high_maxout"), normal)
    np.testing.assert_allclose(outputs["low"], low, atol=1e-5)
    np.testing.assert_allclose(outputs["high"], high, atol=1e-5)
    assert np.isfinite(outputs["logits"]).all()


def test_sub_words_have_vectors_of_their_own_that_are_added():
    backbone = text_backbone(10, 4, 3, SMALL, subword_vocabulary_size=7, max_subwords=3)
    tables = [np.asarray(backbone.get_layer(name).embedding.embeddings) for name in ("word_vector", "subword_vector")]
    assert [table.shape for table in tables] == [(10, 5), (7, 5)]
    # 6 is a word, but of the sub-words the last id, which is unused.
    tokens = np.array([[6, 0, 0, 0, 2, 6, 0]])
    expected = np.asarray(backbone.get_layer("low_maxout")(SCALE * (tables[0][6] + tables[1][2])[None]))
    np.testing.assert_allclose(backbone(tokens)["low"], expected, atol=1e-6)
    # What one row alone has is unknown: it may be a row that a fold is not fitted on.
    rows = np.array([[6, 0, 0, 0, 2, 3, 0], [6, 0, 0, 0, 3, 4, 0]])
    for name, known in (("word_vector", [6]), ("subword_vector", [3])):
        backbone.get_layer(name).adapt_rows(rows)
        assert [number for number in np.flatnonzero(backbone.get_layer(name).rarity) if number] == known


def test_saves_and_loads_safely(tmp_path):
    backbone = text_backbone(10, 4, 3, SMALL)
    backbone.save(tmp_path / "text.keras")
    loaded = keras.saving.load_model(tmp_path / "text.keras")
    for name, value in backbone(TOKENS).items():
        np.testing.assert_allclose(loaded(TOKENS)[name], value, atol=1e-6)


def test_word_vectors_take_their_rows_and_only_theirs(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("cat 1 2 3 4 5\nelse 9 9 9 9 9\n")
    settings = TextBackboneSettings(embedding_dim=5, hidden_units=(4, 6), pieces=2, word_vectors=str(path))
    keras.utils.set_random_seed(0)
    plain = np.asarray(text_backbone(4, 4, 3, SMALL).get_layer("word_vector").embedding.embeddings)
    keras.utils.set_random_seed(0)
    backbone = text_backbone(4, 4, 3, settings, vocabulary=["dog", "cat"])
    table = np.asarray(backbone.get_layer("word_vector").embedding.embeddings)
    np.testing.assert_allclose(SCALE * table[2], [1, 2, 3, 4, 5], rtol=1e-6)
    np.testing.assert_array_equal(table[[0, 1, 3]], plain[[0, 1, 3]])
    with pytest.raises(ValueError, match="needs the vocabulary"):
        text_backbone(4, 4, 3, settings)
    with pytest.raises(ValueError, match="do not fit"):
        text_backbone(2, 4, 3, settings, vocabulary=["dog", "cat"])
