import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.convert_published import convert_published
from hfmnas_keras.backbones.published_networks import PUBLISHED_NETWORKS
from hfmnas_keras.pretraining.given_weights import load_given_weights
from hfmnas_keras.settings.backbones import ImageBackboneSettings, SkeletonBackboneSettings, VideoBackboneSettings
from tests.hfmnas_keras.backbones.published_case import SETTINGS, build, case_of, tensors_of
from tests.hfmnas_keras.backbones.tensor_files import write_safetensors, write_torch
from tests.oracles.seeded_tensors import seeded_input


def convert(tmp_path, name, **arguments):
    case = case_of(name)
    source = write_safetensors(tmp_path / f"{name}.safetensors", tensors_of(case))
    target = tmp_path / f"{name}.keras"
    convert_published(source, str(target), SETTINGS[name], tuple(case["input_shape"][1:]), **arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == [target.name, f"{name}.safetensors"]
    return case, target


@pytest.mark.parametrize("name", ["vgg19", "resnet50", "resnext101_depth", "hcn"])
def test_a_trunk_comes_without_a_head(tmp_path, name):
    case, target = convert(tmp_path, name)
    trunk = keras.saving.load_model(target, compile=False)
    assert sorted(trunk.output) == ["high", "low"] and "head" not in [layer.name for layer in trunk.layers]
    golden = case["outputs"][{"vgg19": "block5_pool", "hcn": "fc7"}.get(name, "pooled")]
    expected = np.reshape(golden["values"], golden["shape"])
    high = np.asarray(trunk(seeded_input(case["name"], case["input_shape"], case["highest"]))["high"])
    if name == "vgg19":
        # Each cell of the 1x2 map fills a share of the 4x4 grid.
        expected = np.repeat(np.repeat(expected, 4, axis=1), 2, axis=2)
    np.testing.assert_allclose(high, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_torch_file_gives_the_same(tmp_path):
    case, target = convert(tmp_path, "hcn")
    source = write_torch(tmp_path / "hcn.pth", tensors_of(case))
    model = convert_published(source, str(tmp_path / "x.keras"), SETTINGS["hcn"], tuple(case["input_shape"][1:]))
    expected = keras.saving.load_model(target, compile=False).get_weights()
    for received, weights in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(received, weights)


@pytest.mark.parametrize("name", ["inflated_resnet50", "resnext101_depth", "hcn"])
def test_with_its_head_it_is_what_the_setting_weights_takes(tmp_path, name):
    case, target = convert(tmp_path, name, with_head=True)
    backbone = load_given_weights(build(case), str(target))
    logits = backbone(seeded_input(case["name"], case["input_shape"], case["highest"]))["logits"]
    golden = case["outputs"]["logits"]
    np.testing.assert_allclose(logits, np.reshape(golden["values"], golden["shape"]), rtol=1e-4, atol=1e-4)


def test_a_file_that_does_not_fit_leaves_nothing_behind(tmp_path):
    source = write_safetensors(tmp_path / "hcn.safetensors", tensors_of(case_of("hcn")))
    with pytest.raises(ValueError, match="do not fit"):
        convert_published(source, str(tmp_path / "x.keras"), SETTINGS["vgg19"], (32, 64, 3))
    with pytest.raises(ValueError, match=r"end in `.keras`"):
        convert_published(source, str(tmp_path / "x.h5"), SETTINGS["hcn"], (32, 2, 5, 3))
    assert [path.name for path in tmp_path.iterdir()] == ["hcn.safetensors"]


def test_the_published_networks_are_those_of_the_presets():
    settings = {name: settings for name, (settings, _) in PUBLISHED_NETWORKS.items()}
    assert settings["vgg19"] == ImageBackboneSettings(preprocessing="torch")
    assert settings["inflated_resnet50"] == VideoBackboneSettings()
    assert settings["hcn"] == SkeletonBackboneSettings()
