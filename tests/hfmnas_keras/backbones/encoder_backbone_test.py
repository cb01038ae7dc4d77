import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.backbones.encoder_backbone import encoder_backbone
from hfmnas_keras.backbones.encoder_folder import read_encoder
from hfmnas_keras.backbones.trim_padding import TrimPadding
from hfmnas_keras.cost import model_cost
from hfmnas_keras.pretraining.extraction import load_backbone
from hfmnas_keras.settings.backbones import EncoderBackboneSettings
from tests.hfmnas_keras.backbones.encoder_sources import image_encoder, text_encoder
from tests.hfmnas_keras.cost.profiled_flops import profiled_flops

TOKENS = np.array([[2, 7, 8, 9, 3, 0, 0, 0], [2, 5, 3, 0, 0, 0, 0, 0]])


def text_backbone(tmp_path, **settings):
    folder = text_encoder(tmp_path)
    return encoder_backbone("text", (8,), 3, EncoderBackboneSettings(str(folder), **settings)), folder


def image_backbone(tmp_path, image_shape=(64, 96, 3), grid=(4, 4), **settings):
    folder = image_encoder(tmp_path)
    settings = EncoderBackboneSettings(str(folder), **settings)
    return encoder_backbone("image", image_shape, 3, settings, grid), folder


def test_taps_of_a_text_are_means_over_its_tokens(tmp_path):
    backbone, folder = text_backbone(tmp_path)
    states = read_encoder(folder)[0](TOKENS)
    outputs = backbone(TOKENS)
    assert outputs["logits"].shape == (2, 3)
    for tap, layer in (("low", "layer_1"), ("high", "layer_2")):
        expected = [np.mean(states[layer][0, :5], axis=0), np.mean(states[layer][1, :3], axis=0)]
        np.testing.assert_allclose(outputs[tap], expected, rtol=1e-4, atol=1e-5)


def test_other_taps_and_the_first_state_can_be_had(tmp_path):
    backbone, folder = text_backbone(tmp_path, low_tap="layer_0", high_tap="layer_1", pooling="first")
    states = read_encoder(folder)[0](TOKENS)
    outputs = backbone(TOKENS)
    for tap, layer in (("low", "layer_0"), ("high", "layer_1")):
        np.testing.assert_allclose(outputs[tap], states[layer][:, 0], rtol=1e-4, atol=1e-5)


def test_topics_of_its_words_stand_behind_a_texts_high_tap(tmp_path):
    plain, folder = text_backbone(tmp_path)
    backbone = encoder_backbone("text", (8,), 3, EncoderBackboneSettings(str(folder), word_topics=3))
    assert backbone.get_layer("word_topics").vocabulary_size == len(
        (tmp_path / "published_bert" / "vocab.txt").read_text(encoding="utf-8").splitlines()
    )
    backbone.get_layer("word_topics").adapt_rows(TOKENS)
    states, plain_states = backbone(TOKENS), plain(TOKENS)
    np.testing.assert_allclose(states["low"], plain_states["low"], atol=1e-6)
    np.testing.assert_allclose(states["high"][:, :-3], plain_states["high"], atol=1e-6)
    np.testing.assert_array_equal(states["high"][:, -3:], backbone.get_layer("word_topics")(TOKENS))


def test_taps_of_a_picture_are_averaged_over_the_grid(tmp_path):
    backbone, folder = image_backbone(tmp_path, (128, 128, 3))
    pictures = np.random.default_rng(0).uniform(0, 255, (1, 128, 128, 3)).astype("float32")
    maps = read_encoder(folder)[0](pictures)
    outputs = backbone(pictures)
    assert maps["stage_5"].shape[1:3] == (8, 8)
    expected = np.reshape(maps["stage_5"], (1, 4, 2, 4, 2, -1)).mean((2, 4))
    np.testing.assert_allclose(outputs["low"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["high"], maps["stage_6"], rtol=1e-4, atol=1e-5)


def test_maps_of_any_size_fill_the_grid(tmp_path):
    backbone, _ = image_backbone(tmp_path, (48, 80, 3), grid=(2, 3))
    outputs = backbone(np.zeros((1, 48, 80, 3)))
    assert outputs["low"].shape[1:3] == outputs["high"].shape[1:3] == (2, 3)


@pytest.mark.parametrize("make", [text_backbone, image_backbone])
def test_only_the_head_learns_also_after_its_file_was_read(tmp_path, make):
    backbone, _ = make(tmp_path)
    backbone.save(tmp_path / "reference.keras")
    (tmp_path / "m").mkdir()
    (tmp_path / "reference.keras").rename(tmp_path / "m" / "reference.keras")
    loaded = load_backbone(tmp_path, "m")
    for model in (backbone, loaded):
        # Scale and offset of the normalisation, kernel and bias.
        assert len(model.trainable_variables) == len(model.get_layer("head").trainable_variables) == 4
    inputs = TOKENS if make is text_backbone else np.full((2, 64, 96, 3), 99.0, "float32")
    for tap, value in backbone(inputs).items():
        np.testing.assert_array_equal(value, loaded(inputs)[tap])


@pytest.mark.parametrize("make", [text_backbone, image_backbone])
def test_the_statistics_of_the_encoder_stay_in_training(tmp_path, make):
    backbone, _ = make(tmp_path)
    inputs = TOKENS if make is text_backbone else np.random.default_rng(0).uniform(0, 255, (2, 64, 96, 3))
    np.testing.assert_array_equal(backbone(inputs, training=True)["high"], backbone(inputs)["high"])


def test_texts_are_cut_off_behind_the_longest_of_their_batch(tmp_path):
    backbone, _ = text_backbone(tmp_path)
    # What a layer in the middle of the network gets.
    inner = keras.Model(backbone.input, backbone.get_layer("layer_2_inner").output)
    # To the network's builder, and to whoever counts its products, the longest that a text can be.
    assert inner.output.shape[1] == 8
    for rows, length in ((TOKENS, 5), (TOKENS[1:], 3), (0 * TOKENS, 1)):
        assert inner(rows).shape[1] == tf.function(inner)(tf.constant(rows)).shape[1] == length
    # And by itself a text is what it is beside a longer one.
    for tap, values in backbone(TOKENS).items():
        np.testing.assert_allclose(backbone(TOKENS[1:])[tap], values[1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [text_backbone, image_backbone])
def test_its_cost_is_what_the_profiler_counts(tmp_path, make, monkeypatch):
    # The profiler cannot count shapes that depend on the input.
    monkeypatch.setattr(TrimPadding, "call", lambda self, tokens: tokens)
    backbone, _ = make(tmp_path)
    assert model_cost(backbone).flops == sum(profiled_flops(backbone).values())


@pytest.mark.parametrize(
    ("modality", "input_shape", "settings", "message"),
    [
        ("image", (32, 32, 3), {}, "is one of the modality text. Received: image"),
        ("text", (8,), {"low_tap": "layer_3"}, "`low_tap` must be an output of the encoder .* Received: 'layer_3'"),
        (
            "text",
            (8,),
            {"pooling": "grid", "word_topics": 4},
            "vectors. Received: word_topics=4 for text, pooling='grid'",
        ),
        ("text", (49,), {}, "at most 48 tokens. Received: max_tokens=49"),
    ],
)
def test_what_does_not_fit_the_encoder_is_an_error(tmp_path, modality, input_shape, settings, message):
    folder = text_encoder(tmp_path)
    with pytest.raises(ValueError, match=message):
        encoder_backbone(modality, input_shape, 3, EncoderBackboneSettings(str(folder), **settings))


def test_a_picture_has_no_first_token(tmp_path):
    with pytest.raises(ValueError, match="must be \"mean\". Received: 'first'"):
        image_backbone(tmp_path, pooling="first")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder": ""}, "`encoder`"),
        ({"pooling": "max"}, "`pooling`"),
        ({"head_dropout": 1.0}, "`head_dropout`"),
        ({"learning_rate": 0.0}, "`learning_rate`"),
        ({"kind": "vgg"}, "`kind`"),
        ({"train_last": -1}, "`train_last`"),
        ({"word_topics": -1}, "`word_topics`"),
        ({"lora_rank": -1}, "`lora_rank`"),
        ({"lora_rank": 2, "train_last": 1}, "`lora_rank`.*0 where `train_last` is not"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        EncoderBackboneSettings(**{"encoder": "x", **settings})


def test_the_backbone_survives_its_file_in_safe_mode(tmp_path):
    backbone, _ = text_backbone(tmp_path)
    backbone.save(tmp_path / "x.keras")
    assert sorted(keras.saving.load_model(tmp_path / "x.keras", compile=False).output) == ["high", "logits", "low"]


def test_a_texts_states_can_fill_a_grid(tmp_path):
    backbone, folder = text_backbone(tmp_path, pooling="grid")
    states = read_encoder(folder)[0](TOKENS)["layer_2"]
    cells = np.reshape(backbone(TOKENS)["high"], (2, 16, 8))
    # Five tokens in 16 cells: the first three are the first token's, the last three the last one's.
    for cell, token in ((0, 0), (2, 0), (13, 4), (15, 4)):
        np.testing.assert_allclose(cells[0, cell], states[0, token], rtol=1e-4, atol=1e-5)
