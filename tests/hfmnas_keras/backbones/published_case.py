"""Narrow copies of the published networks, and the golden values that PyTorch gave for them."""

from hfmnas_keras.backbones.image_backbone import image_backbone
from hfmnas_keras.backbones.skeleton_backbone import skeleton_backbone
from hfmnas_keras.backbones.video_backbone import video_backbone
from hfmnas_keras.settings.backbones import ImageBackboneSettings, SkeletonBackboneSettings, VideoBackboneSettings
from tests.oracles.golden import torch_golden
from tests.oracles.seeded_tensors import seeded_tensor

GOLDEN = torch_golden()["networks"]
RESNET = VideoBackboneSettings(width=1 / 16, blocks=(2, 1, 1, 1))
RESNEXT = VideoBackboneSettings("resnext101", 1 / 16, (2, 1, 1, 1), 4)
SETTINGS = {
    "vgg16": ImageBackboneSettings(depth=16, width=1 / 32, preprocessing="torch"),
    "vgg19": ImageBackboneSettings(depth=19, width=1 / 32, preprocessing="torch"),
    "inflated_resnet50": RESNET,
    "resnet50": RESNET,
    "resnext101": RESNEXT,
    "resnext101_depth": VideoBackboneSettings("resnext101", 1 / 16, (2, 1, 1, 1), 4, stem_frames=3),
    "hcn": SkeletonBackboneSettings(width=1 / 8),
}
BUILDERS = {
    ImageBackboneSettings: image_backbone,
    VideoBackboneSettings: video_backbone,
    SkeletonBackboneSettings: skeleton_backbone,
}


def case_of(name):
    return next(case for case in GOLDEN if case["name"] == name)


def build(case):
    settings = SETTINGS[case["name"]]
    return BUILDERS[type(settings)](tuple(case["input_shape"][1:]), 3, settings)


def tensors_of(case, prefix=""):
    return {prefix + name: seeded_tensor(name, tuple(shape)) for name, shape in case["tensors"].items()}
