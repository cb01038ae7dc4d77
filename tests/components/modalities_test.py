"""Whatever lists modalities lists all of them."""

import pytest

from components.backbone_trainer.recipes import make_recipe
from components.serving_check import client
from components.transform.preprocessing import settings_of
from hfmnas_keras.data.modalities import MODALITIES
from hfmnas_keras.settings.backbones import (
    BACKBONE_SETTINGS,
    ImageBackboneSettings,
    SkeletonBackboneSettings,
    VideoBackboneSettings,
)
from pipeline.config_parts import BackbonesConfig
from pipeline.data_config import SOURCE_DATA

CLIPS = VideoBackboneSettings(width=1 / 16, blocks=(1, 1, 1, 1))


def test_every_stage_knows_every_modality():
    known = set(MODALITIES)
    assert {name for data in SOURCE_DATA.values() for name in data.modalities} == known
    assert set(BACKBONE_SETTINGS) == set(BackbonesConfig.model_fields) == set(client.MODALITIES) == known
    for name, modality in MODALITIES.items():
        assert settings_of([name]) and client.MODALITIES[name].argument == modality.argument
        assert isinstance(getattr(BackbonesConfig(), name), BACKBONE_SETTINGS[name])


def test_settings_that_modalities_share_are_named_once():
    assert settings_of(["depth", "video"]) == settings_of(["video"]) == ["clip_frames", "clip_size"]


@pytest.mark.parametrize(
    ("name", "settings", "row_shape"),
    [
        ("image", ImageBackboneSettings(width=1 / 32), (32, 32, 3)),
        ("skeleton", SkeletonBackboneSettings(width=1 / 8), (16, 2, 25, 3)),
        ("depth", CLIPS, (4, 16, 16, 1)),
        ("video", CLIPS, (4, 16, 16, 3)),
    ],
)
def test_a_backbone_reads_the_input_of_its_modality(name, settings, row_shape):
    backbone = make_recipe(name, settings, 3, row_shape, (2, 1), transform_graph=None).build()
    (reads,) = backbone.inputs
    assert (reads.name, reads.shape) == (MODALITIES[name].input_name, (None, *row_shape))
    assert backbone.output["logits"].shape == (None, 3)
