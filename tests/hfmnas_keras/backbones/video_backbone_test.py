import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.skeleton_backbone import skeleton_backbone
from hfmnas_keras.backbones.video_backbone import video_backbone
from hfmnas_keras.settings.backbones import SkeletonBackboneSettings, VideoBackboneSettings

INFLATED = VideoBackboneSettings(width=1 / 16, blocks=(1, 1, 1, 1), head_dropout=0.0)
RESNEXT = VideoBackboneSettings("resnext101", 1 / 16, (1, 1, 1, 1), 4, high_tap="layer4", head_dropout=0.0)


def published_count(channels, stem_frames, blocks, inner, expansion, groups, classes):
    """Trainable parameters: convolutions without bias, two a normalised channel, a linear classifier."""
    total, width = 64 * channels * stem_frames * 49 + 2 * 64, 64
    for number, count in enumerate(blocks):
        middle, outer = inner * 2**number, inner * 2**number * expansion
        for index in range(count):
            total += width * middle + 27 * middle * middle // groups + middle * outer + 2 * (2 * middle + outer)
            total += 0 if index else width * outer + 2 * outer
            width = outer
    return total + (width + 1) * classes


@pytest.mark.parametrize(
    ("settings", "shape", "classes", "closed_form", "millions", "shapes"),
    [
        (
            VideoBackboneSettings(),
            (8, 256, 256, 3),
            60,
            published_count(3, 1, (3, 4, 6, 3), 64, 4, 1, 60),
            46.3,
            {"layer2_3": (8, 32, 32, 512), "layer3_5": (8, 16, 16, 1024), "layer4_2": (8, 8, 8, 2048)},
        ),
        (
            VideoBackboneSettings("resnext101"),
            (32, 112, 112, 1),
            83,
            published_count(1, 7, (3, 4, 23, 3), 128, 2, 32, 83),
            47.6,
            {"layer2_3": (8, 14, 14, 512), "layer3_22": (4, 7, 7, 1024), "layer4_2": (2, 4, 4, 2048)},
        ),
        # The colour clips of EgoGesture.
        pytest.param(
            VideoBackboneSettings("resnext101", stem_frames=3),
            (32, 112, 112, 3),
            83,
            published_count(3, 3, (3, 4, 23, 3), 128, 2, 32, 83),
            47.7,
            {"layer2_3": (8, 14, 14, 512), "layer3_22": (4, 7, 7, 1024), "layer4_2": (2, 4, 4, 2048)},
            marks=pytest.mark.long,
        ),
    ],
)
def test_full_size_is_the_published_network(settings, shape, classes, closed_form, millions, shapes):
    backbone = video_backbone(shape, classes, settings)
    count = sum(int(np.prod(weight.shape)) for weight in backbone.trainable_weights)
    assert count == closed_form and round(count / 1e6, 1) == millions
    assert {name: backbone.get_layer(name).output.shape[1:] for name in shapes} == shapes
    assert backbone.output["low"].shape == (None, 8, 1, 512) and backbone.output["high"].shape == (None, 2048)


@pytest.mark.parametrize(("settings", "shape"), [(INFLATED, (8, 32, 32, 3)), (RESNEXT, (8, 32, 32, 1))])
def test_learns_a_few_clips_by_heart_and_survives_saving(tmp_path, settings, shape):
    keras.utils.set_random_seed(0)
    clips = np.random.default_rng(0).uniform(0, 255, size=(16, *shape)).astype("float32")
    labels = np.arange(16) % 2
    backbone = video_backbone(shape, 2, settings)
    model = keras.Model(backbone.input, backbone.output["logits"])
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(clips, labels, batch_size=16, epochs=25, verbose=0)
    assert (np.asarray(model(clips, training=True)).argmax(-1) == labels).mean() == 1
    backbone.save(tmp_path / "video.keras")
    loaded = keras.saving.load_model(tmp_path / "video.keras", compile=False)(clips[:1])
    for name, value in backbone(clips[:1]).items():
        np.testing.assert_allclose(loaded[name], value, atol=1e-5)


def test_learns_a_few_skeletons_by_heart():
    keras.utils.set_random_seed(0)
    skeletons = np.random.default_rng(0).normal(size=(16, 32, 2, 25, 3)).astype("float32")
    labels = np.arange(16) % 4
    backbone = skeleton_backbone((32, 2, 25, 3), 4, SkeletonBackboneSettings(1 / 4, 0.0, head_dropout=0.0))
    model = keras.Model(backbone.input, backbone.output["logits"])
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(skeletons, labels, batch_size=16, epochs=40, verbose=0)
    assert (np.asarray(model(skeletons)).argmax(-1) == labels).all()


def test_rejects_wrong_settings_and_shapes():
    with pytest.raises(ValueError, match="cardinality"):
        VideoBackboneSettings("resnext101", width=1 / 16)
    with pytest.raises(ValueError, match="network"):
        VideoBackboneSettings("resnet18")
    with pytest.raises(ValueError, match="input_shape"):
        video_backbone((8, 32, 32, 2), 2, INFLATED)
