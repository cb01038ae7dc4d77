"""Whole backbones in half precision, and back from a `.keras` file."""

import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.image_backbone import image_backbone
from hfmnas_keras.backbones.skeleton_backbone import skeleton_backbone
from hfmnas_keras.backbones.video_backbone import video_backbone
from hfmnas_keras.settings.backbones import ImageBackboneSettings, SkeletonBackboneSettings, VideoBackboneSettings

BACKBONES = {
    "vgg": (image_backbone, (32, 32, 3), ImageBackboneSettings(depth=16, width=1 / 16, preprocessing="torch")),
    "resnet": (video_backbone, (4, 32, 32, 3), VideoBackboneSettings(width=1 / 16, blocks=(1, 1, 1, 1))),
    "resnext": (video_backbone, (8, 32, 32, 1), VideoBackboneSettings("resnext101", 1 / 16, (1, 1, 1, 1), 4)),
    "hcn": (skeleton_backbone, (16, 2, 5, 3), SkeletonBackboneSettings(width=1 / 8)),
}


@pytest.fixture
def policy():
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


# On a CPU TensorFlow pools clips in float32 and bfloat16 only; that has 8 bits of precision to float16's 11.
@pytest.mark.parametrize(
    ("name", "half_type", "tolerance"),
    [("vgg", "float16", 0.01), ("hcn", "float16", 0.01), ("resnet", "bfloat16", 0.05), ("resnext", "bfloat16", 0.05)],
)
def test_half_precision_is_close_to_full_and_survives_saving(tmp_path, policy, name, half_type, tolerance):
    build, shape, settings = BACKBONES[name]
    policy(f"mixed_{half_type}")
    keras.utils.set_random_seed(0)
    half = build(shape, 3, settings)
    policy("float32")
    full = build(shape, 3, settings)
    full.set_weights(half.get_weights())
    inputs = np.random.default_rng(0).uniform(0, 1 if name == "hcn" else 255, (2, *shape)).astype("float32")
    outputs, expected = half(inputs), full(inputs)
    assert outputs["high"].dtype == half_type and outputs["logits"].dtype == "float32"
    half.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras", compile=False)(inputs)
    for tap, value in outputs.items():
        scale = 1 + np.abs(expected[tap]).max()
        np.testing.assert_allclose(keras.ops.cast(value, "float32"), expected[tap], rtol=0, atol=tolerance * scale)
        np.testing.assert_array_equal(keras.ops.cast(loaded[tap], "float32"), keras.ops.cast(value, "float32"))
