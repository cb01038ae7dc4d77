import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.text_backbone import text_backbone
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
    table = np.asarray(backbone.get_layer("mean_word_vector").embedding.embeddings, "float64")

    def maxout(layer, values):
        kernel, bias = (np.asarray(w, "float64") for w in layer.linear.weights)
        return (values @ kernel + bias).reshape(len(values), layer.pieces, layer.units).max(axis=1)

    known = [row[(row > 0) & (row < 9)] for row in TOKENS]
    mean = np.stack([table[words].mean(0) if len(words) else np.zeros(5) for words in known])
    low = maxout(backbone.get_layer("low_maxout"), mean)
    gamma, beta, moving_mean, moving_variance = (np.asarray(w) for w in normalization.get_weights())
    normal = (low - moving_mean) / np.sqrt(moving_variance + normalization.epsilon) * gamma + beta
    high = maxout(backbone.get_layer("high_maxout"), normal)
    np.testing.assert_allclose(outputs["low"], low, atol=1e-5)
    np.testing.assert_allclose(outputs["high"], high, atol=1e-5)
    assert np.isfinite(outputs["logits"]).all()


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
    plain = np.asarray(text_backbone(4, 4, 3, SMALL).get_layer("mean_word_vector").embedding.embeddings)
    keras.utils.set_random_seed(0)
    backbone = text_backbone(4, 4, 3, settings, vocabulary=["dog", "cat"])
    table = np.asarray(backbone.get_layer("mean_word_vector").embedding.embeddings)
    np.testing.assert_array_equal(table[2], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(table[[0, 1, 3]], plain[[0, 1, 3]])
    with pytest.raises(ValueError, match="needs the vocabulary"):
        text_backbone(4, 4, 3, settings)
    with pytest.raises(ValueError, match="do not fit"):
        text_backbone(2, 4, 3, settings, vocabulary=["dog", "cat"])
