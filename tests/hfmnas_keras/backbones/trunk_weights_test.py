import dataclasses

import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.convert_published import convert_published
from hfmnas_keras.pretraining.backbone_recipe import image_recipe, skeleton_recipe, video_recipe
from hfmnas_keras.pretraining.pretraining import pretrain_backbones
from hfmnas_keras.settings.backbones import ImageBackboneSettings, SkeletonBackboneSettings, VideoBackboneSettings
from hfmnas_keras.settings.pretraining import PretrainingSettings
from tests.hfmnas_keras.backbones.published_case import BUILDERS, SETTINGS, case_of, tensors_of
from tests.hfmnas_keras.backbones.tensor_files import write_safetensors
from tests.oracles.seeded_tensors import seeded_input

IMAGE = ImageBackboneSettings(depth=16, width=1 / 16)
VIDEO = VideoBackboneSettings(width=1 / 16, blocks=(1, 1, 1, 1))
RESNEXT = VideoBackboneSettings("resnext101", 1 / 16, (1, 1, 1, 1), 4)
SKELETON = SkeletonBackboneSettings(width=1 / 8)
# Settings, the input that the trunk was made for, and the input that it is used on.
CASES = {
    "vgg": (IMAGE, (32, 32, 3), (48, 32, 3)),
    "resnet": (VIDEO, (4, 16, 16, 3), (2, 32, 16, 3)),
    "resnext": (RESNEXT, (8, 16, 16, 1), (4, 32, 16, 1)),
    "hcn": (SKELETON, (16, 2, 5, 3), (16, 1, 5, 3)),
}
RECIPES = {
    ImageBackboneSettings: image_recipe,
    VideoBackboneSettings: video_recipe,
    SkeletonBackboneSettings: skeleton_recipe,
}


def save(settings, shape, path, classes=7):
    backbone = BUILDERS[type(settings)](shape, classes, settings)
    for variable in backbone.weights:
        # Averages and offsets too: the ones of a fresh network are all alike.
        variable.assign(np.random.default_rng(variable.shape[-1]).uniform(0.1, 0.9, variable.shape))
    backbone.save(path)
    return backbone


def trunk_weights_of(backbone):
    return [weight for layer in backbone.layers if layer.name != "head" for weight in layer.get_weights()]


@pytest.mark.parametrize("name", CASES)
def test_the_trunk_of_a_backbone_goes_into_another_one(tmp_path, name):
    settings, made_for, used_on = CASES[name]
    path = str(tmp_path / "trained.keras")
    trained = save(settings, made_for, path)
    backbone = BUILDERS[type(settings)](used_on, 3, dataclasses.replace(settings, trunk_weights=path))
    received, expected = trunk_weights_of(backbone), trunk_weights_of(trained)
    assert len(received) == len(expected) > 10
    for one, other in zip(received, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert backbone.output["logits"].shape == (None, 3)


@pytest.mark.parametrize("name", ["vgg19", "resnext101_depth", "hcn"])
def test_a_head_learns_on_a_published_trunk_that_stays_as_it_is(tmp_path, name):
    case, settings = case_of(name), SETTINGS[name]
    source = write_safetensors(tmp_path / "published.safetensors", tensors_of(case))
    shape = tuple(case["input_shape"][1:])
    trunk = convert_published(source, str(tmp_path / "trunk.keras"), settings, shape)
    recipe = RECIPES[type(settings)](
        shape,
        2,
        dataclasses.replace(settings, trunk_weights=str(tmp_path / "trunk.keras"), train_trunk=False, head_dropout=0.0),
    )
    # Two kinds of rows that differ in brightness, or in how far the joints lie from the centre.
    rows = seeded_input("rows", (12, *shape), case["highest"]) * np.linspace(0.2, 1, 12).reshape(-1, *[1] * len(shape))
    labels = (np.arange(12) >= 6).astype("int64")
    record = pretrain_backbones(
        {"first": recipe},
        {"first": rows.astype("float32")},
        labels,
        [str(row) for row in range(12)],
        {"first": rows.astype("float32")},
        labels,
        tmp_path / "backbones",
        PretrainingSettings(max_epochs=40, batch_size=6, learning_rate=0.02, folds=0),
    )["modalities"]["first"]
    assert record["sees_labels"] is False and record["train_macro_f1"] > 0.9
    backbone = keras.saving.load_model(tmp_path / "backbones" / "first" / "reference.keras", compile=False)
    batch = seeded_input(case["name"], case["input_shape"], case["highest"])
    for tap in ("low", "high"):
        np.testing.assert_allclose(backbone(batch)[tap], trunk(batch)[tap], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dataclasses.replace(IMAGE, preprocessing="torch"), r"prepared by CaffePreprocessing; .* Set the same network"),
        (dataclasses.replace(IMAGE, depth=19), "block3_conv4 is missing; block4_conv4 is missing"),
        (dataclasses.replace(IMAGE, width=1 / 8), r"block1_conv1 has shapes .*3, 4\), .* and 8 more"),
        (VIDEO, "prepared by CaffePreprocessing; video_backbone prepares them by Normalization"),
        (SKELETON, "trunk is missing"),
    ],
)
def test_another_network_is_a_clear_error(tmp_path, settings, message):
    path = str(tmp_path / "trained.keras")
    save(IMAGE, (16, 16, 3), path)
    shape = next(made_for for each, made_for, _ in CASES.values() if type(each) is type(settings))
    with pytest.raises(ValueError, match=message):
        BUILDERS[type(settings)](shape, 3, dataclasses.replace(settings, trunk_weights=path))


@pytest.mark.parametrize(("name", "message"), [("x.weights.h5", "must be a `.keras` file"), ("x.keras", "be loaded")])
def test_a_file_that_is_no_model_is_a_clear_error(tmp_path, name, message):
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match=message):
        BUILDERS[type(IMAGE)]((16, 16, 3), 3, dataclasses.replace(IMAGE, trunk_weights=str(path)))


def test_nan_is_refused(tmp_path):
    trained = save(VIDEO, (2, 16, 16, 3), tmp_path / "sound.keras")
    trained.get_layer("layer4_0").conv3.kernel.assign(trained.get_layer("layer4_0").conv3.kernel * np.nan)
    trained.save(tmp_path / "nan.keras")
    with pytest.raises(ValueError, match="layer4_0 holds NaN"):
        BUILDERS[type(VIDEO)]((2, 16, 16, 3), 3, dataclasses.replace(VIDEO, trunk_weights=str(tmp_path / "nan.keras")))


def test_weights_come_from_one_place():
    with pytest.raises(ValueError, match="trunk_weights='a.keras', weights='b.keras'"):
        SkeletonBackboneSettings(trunk_weights="a.keras", weights="b.keras")
    with pytest.raises(ValueError, match="trunk='hed', trunk_weights='a.keras'"):
        ImageBackboneSettings(depth=16, trunk="hed", trunk_weights="a.keras")
    with pytest.raises(ValueError, match="Keep one of them"):
        VideoBackboneSettings(trunk_weights="a.keras", weights="b.keras")
