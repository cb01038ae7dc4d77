import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.keras_backbone import keras_backbone
from hfmnas_keras.pretraining.extraction import load_backbone
from hfmnas_keras.settings.keras_backbone import KerasBackboneSettings
from tests.hfmnas_keras.backbones import given_models

HERE = given_models.__name__
TOKENS = np.array([[2, 7, 8, 9, 3, 0, 0, 0], [2, 5, 3, 0, 0, 0, 0, 0]])
PICTURES = np.random.default_rng(0).uniform(0, 255, (2, 32, 64, 3)).astype("float32")


def of_text(**settings):
    settings = KerasBackboneSettings(f"{HERE}:small_transformer", tokenizer="minilm", **settings)
    return keras_backbone("text", (8,), 3, settings, grid=(2, 2))


def of_picture(function="small_mobile_net", **settings):
    return keras_backbone("image", (32, 64, 3), 3, KerasBackboneSettings(f"{HERE}:{function}", **settings), (1, 2))


def states_of(backbone):
    """By name: the encoder takes its inputs in an order of Keras's."""
    encoder, inputs = backbone.get_layer("encoder"), {"token_ids": TOKENS, "padding_mask": (TOKENS != 0)}
    return encoder([inputs[given.name].astype("int32") for given in encoder.inputs])


def test_taps_of_a_picture_are_the_models_own_over_the_grid():
    backbone = of_picture(low_tap="block_5_add", high_tap="out_relu")
    encoder = backbone.get_layer("encoder")
    maps = encoder(PICTURES)
    outputs = backbone(PICTURES)
    assert maps["low"].shape == (2, 4, 8, 16)
    np.testing.assert_allclose(
        outputs["low"], np.reshape(maps["low"], (2, 1, 4, 2, 4, 16)).mean((2, 4)), rtol=1e-4, atol=1e-5
    )
    # Already as large as the grid.
    np.testing.assert_allclose(outputs["high"], maps["high"], rtol=1e-5, atol=1e-6)
    assert outputs["logits"].shape == (2, 3)


def test_a_text_is_pooled_over_its_tokens_and_masked_by_them():
    backbone = of_text()
    states = states_of(backbone)
    for tap in ("low", "high"):
        expected = [np.mean(states[tap][0, :5], axis=0), np.mean(states[tap][1, :3], axis=0)]
        np.testing.assert_allclose(backbone(TOKENS)[tap], expected, rtol=1e-4, atol=1e-5)


def test_a_text_fills_a_grid_in_its_order():
    backbone = of_text(pooling="grid")
    states = states_of(backbone)["high"]
    cells = np.reshape(backbone(TOKENS)["high"], (2, 4, 6))
    # Five tokens in four cells: 0-1, 1-2, 2-3, 3-4. Three: 0, 0-1, 1-2, 2.
    for row, parts in ((0, ((0, 2), (1, 3), (2, 4), (3, 5))), (1, ((0, 1), (0, 2), (1, 3), (2, 3)))):
        expected = [np.mean(states[row, start:stop], axis=0) for start, stop in parts]
        np.testing.assert_allclose(cells[row], expected, rtol=1e-4, atol=1e-5)
    assert np.isfinite(backbone(np.zeros((1, 8), "int64"))["high"]).all()


def test_the_first_state_can_be_had():
    backbone = of_text(pooling="first")
    states = states_of(backbone)
    assert states["high"].shape == (2, 8, 6)
    np.testing.assert_allclose(backbone(TOKENS)["high"], states["high"][:, 0], rtol=1e-5, atol=1e-6)


def test_a_pictures_sequence_becomes_the_map_of_its_patches():
    # Patches of 8x8 are 4x8; over a grid of 1x2 they are the means of the two halves.
    halves = np.stack([PICTURES[:, :, :32].mean((1, 2)), PICTURES[:, :, 32:].mean((1, 2))], axis=1)
    np.testing.assert_allclose(np.asarray(of_picture("patches")(PICTURES)["high"])[:, 0], halves, rtol=1e-4)
    # The class token is zeros here.
    taps = {"low_tap": "layer_1", "high_tap": "layer_1"}
    np.testing.assert_array_equal(of_picture("patches", pooling="first", **taps)(PICTURES)["high"], np.zeros((2, 3)))
    expected = PICTURES.mean((1, 2)) * 32 / 33
    np.testing.assert_allclose(of_picture("patches", pooling="mean", **taps)(PICTURES)["high"], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("preprocessing", "expected"),
    [
        ("none", [10.0, 100.0, 200.0]),
        ("tf", [10 / 127.5 - 1, 100 / 127.5 - 1, 200 / 127.5 - 1]),
        ("caffe", [200 - 103.939, 100 - 116.779, 10 - 123.68]),
        ("torch", [(10 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (200 / 255 - 0.406) / 0.225]),
    ],
)
def test_pictures_are_prepared_as_keras_applications_names_it(preprocessing, expected):
    # Written down from `keras.applications.imagenet_utils.preprocess_input`.
    pictures = np.broadcast_to(np.array([10.0, 100.0, 200.0], "float32"), (1, 32, 64, 3))
    backbone = of_picture("patches", preprocessing=preprocessing)
    np.testing.assert_allclose(np.asarray(backbone(pictures)["high"])[0, 0, 0], expected, rtol=1e-4)


@pytest.mark.parametrize("make", [of_text, of_picture])
def test_only_the_head_learns_also_after_its_file_was_read(tmp_path, make):
    backbone = make()
    (tmp_path / "m").mkdir()
    backbone.save(tmp_path / "m" / "reference.keras")
    loaded = load_backbone(tmp_path, "m")
    inputs = TOKENS if make is of_text else PICTURES
    for model in (backbone, loaded):
        assert len(model.trainable_variables) == len(model.get_layer("head").trainable_variables) == 4
    np.testing.assert_allclose(loaded(inputs)["high"], backbone(inputs)["high"], rtol=1e-5, atol=1e-6)


def test_a_file_of_any_size_of_pictures_will_do(tmp_path):
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.Conv2D(4, 3, strides=4, name="c")(image)).save(tmp_path / "x.keras")
    backbone = keras_backbone("image", (32, 64, 3), 3, KerasBackboneSettings(str(tmp_path / "x.keras")), (1, 2))
    assert backbone.output["high"].shape == (None, 1, 2, 4)


@pytest.mark.parametrize(
    ("modality", "shape", "settings", "message"),
    [
        ("text", (8,), {"model": f"{HERE}:small_transformer"}, "needs a `tokenizer`"),
        ("image", (32, 64, 3), {"model": f"{HERE}:patches", "tokenizer": "minilm"}, "of pictures none"),
        ("image", (32, 64, 3), {"model": f"{HERE}:patches", "low_tap": "x"}, "`low_tap` must be an output or a layer"),
        ("image", (40, 64, 3), {"model": f"{HERE}:patches", "high_tap": "layer_1"}, None),
        (
            "image",
            (36, 64, 3),
            {"model": f"{HERE}:patches", "high_tap": "layer_1"},
            "no map of patches of pictures of 36x64",
        ),
        ("image", (32, 64, 3), {"model": f"{HERE}:small_mobile_net", "pooling": "first"}, "cannot pool"),
        ("text", (8,), {"model": f"{HERE}:patches", "tokenizer": "m"}, "ZeroPadding|shape|rank|dim"),
    ],
)
def test_what_does_not_fit_is_an_error(modality, shape, settings, message):
    if message is None:
        assert keras_backbone(modality, shape, 3, KerasBackboneSettings(**settings)).output["logits"].shape == (None, 3)
        return
    with pytest.raises(ValueError, match=message):
        keras_backbone(modality, shape, 3, KerasBackboneSettings(**settings))


def test_a_file_for_other_pictures_is_an_error(tmp_path):
    given_models.patches((64, 64, 3)).save(tmp_path / "x.keras")
    with pytest.raises(ValueError, match=r"reads \[\(64, 64, 3\)\].*gives \(32, 64, 3\).*preparation.image_size"):
        keras_backbone("image", (32, 64, 3), 3, KerasBackboneSettings(str(tmp_path / "x.keras")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "x.h5"}, "`model` must be a `.keras` file, or package.module:function. Received: 'x.h5'"),
        ({"model": "keras.applications"}, "`model`"),
        ({"low_tap": ""}, "`low_tap`"),
        ({"pooling": "max"}, "`pooling`"),
        ({"preprocessing": "vgg"}, "`preprocessing`"),
        ({"interpolation": "nearest"}, "`interpolation`"),
        ({"head_dropout": 1.0}, "`head_dropout`"),
        ({"learning_rate": 0.0}, "`learning_rate`"),
        ({"kind": "encoder"}, "`kind`"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        KerasBackboneSettings(**{"model": "x.keras", **settings})
