import h5py
import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.image_backbone import image_backbone
from hfmnas_keras.backbones.vgg_weights import hed_trunk_path
from hfmnas_keras.settings.backbones import ImageBackboneSettings

TINY = ImageBackboneSettings(depth=16, width=1 / 16)


def images(size=16):
    return np.random.default_rng(0).uniform(0, 255, size=(2, size, size, 3)).astype("float32")


@pytest.mark.parametrize(("depth", "convolutions"), [(16, 13), (19, 16)])
def test_depth_width_and_taps(depth, convolutions):
    backbone = image_backbone((16, 16, 3), 5, ImageBackboneSettings(depth=depth, width=1 / 16))
    layers = [layer for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in layers][:3] == [4, 4, 8] and len(layers) == convolutions
    outputs = backbone(images())
    assert {name: value.shape for name, value in outputs.items()} == {
        "low": (2, 4, 4, 32),
        "high": (2, 4, 4, 32),
        "logits": (2, 5),
    }


@pytest.mark.parametrize(("depth", "published"), [(16, 14_714_688), (19, 20_024_384)])
def test_full_size_is_the_published_trunk(depth, published):
    # As many parameters as `features` of torchvision's VGG has.
    backbone = image_backbone((224, 224, 3), 23, ImageBackboneSettings(depth=depth))
    head = backbone.get_layer("head")
    assert backbone.count_params() - head.count_params() == published
    # Batch normalisation and a linear layer on the flattened 4x4x512 grid.
    assert head.count_params() == 4 * 8192 + (8192 + 1) * 23
    assert backbone.get_layer("block4_conv1").output.shape[1:] == (28, 28, 512)
    assert backbone.get_layer("block5_pool").output.shape[1:] == (7, 7, 512)


def test_the_head_reads_the_pooled_high_tap():
    backbone = image_backbone((16, 16, 3), 5, TINY)
    outputs = backbone(images())
    np.testing.assert_allclose(backbone.get_layer("head")(outputs["high"]), outputs["logits"], atol=1e-6)


def test_head_options_and_saving(tmp_path):
    settings = ImageBackboneSettings(depth=16, width=1 / 16, head_units=7, train_trunk=False)
    backbone = image_backbone((16, 16, 3), 5, settings)
    trainable = {variable.path.split("/")[0] for variable in backbone.trainable_weights}
    assert not any(path.startswith("block") for path in trainable)
    backbone.save(tmp_path / "image.keras")
    loaded = keras.saving.load_model(tmp_path / "image.keras")
    for name, value in backbone(images()).items():
        np.testing.assert_allclose(loaded(images())[name], value, atol=1e-5)


def test_the_hed_trunk_computes_what_numpy_computes_from_the_file():
    path = hed_trunk_path()
    settings = ImageBackboneSettings(depth=16, trunk="hed", low_tap="block1_conv1", high_tap="block1_pool")
    backbone = image_backbone((6, 6, 3), 2, settings, grid=(6, 6))
    picture = images(6)
    low = np.asarray(backbone(picture)["low"])
    with h5py.File(path) as file:
        kernel = np.asarray(file["block1/layers/conv2d/vars/0"], "float64")
        bias = np.asarray(file["block1/layers/conv2d/vars/1"], "float64")
    bgr = picture[..., ::-1].astype("float64") - [103.939, 116.779, 123.68]
    padded = np.pad(bgr, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((2, 6, 6, 64)) + bias
    for row in range(3):
        for column in range(3):
            expected += padded[:, row : row + 6, column : column + 6] @ kernel[row, column]
    np.testing.assert_allclose(low, np.maximum(expected, 0), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 17}, "depth"),
        ({"low_tap": "block4_conv9"}, "block4_conv9"),
        ({"trunk": "imagenet"}, "trunk"),
        ({"trunk": "hed", "depth": 19}, "VGG-16 of full width"),
    ],
)
def test_rejects_unknown_settings(change, message):
    with pytest.raises(ValueError, match=message):
        image_backbone((16, 16, 3), 5, ImageBackboneSettings(**{"width": 1 / 16, **change}))


def test_rejects_grey_pictures():
    with pytest.raises(ValueError, match="image_shape"):
        image_backbone((16, 16, 1), 5, TINY)
