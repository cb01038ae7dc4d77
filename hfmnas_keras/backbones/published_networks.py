"""The networks whose weights are commonly published."""

from __future__ import annotations

from hfmnas_keras.settings.backbones import ImageBackboneSettings, SkeletonBackboneSettings, VideoBackboneSettings

BackboneSettings = ImageBackboneSettings | VideoBackboneSettings | SkeletonBackboneSettings

#: Their settings, and the shape of their input.
PUBLISHED_NETWORKS: dict[str, tuple[BackboneSettings, tuple[int, ...]]] = {
    "vgg16": (ImageBackboneSettings(depth=16, preprocessing="torch"), (224, 224, 3)),
    "vgg19": (ImageBackboneSettings(depth=19, preprocessing="torch"), (224, 224, 3)),
    "inflated_resnet50": (VideoBackboneSettings("inflated_resnet50"), (8, 224, 224, 3)),
    "resnext101": (VideoBackboneSettings("resnext101"), (32, 112, 112, 3)),
    "hcn": (SkeletonBackboneSettings(), (32, 2, 25, 3)),
}
#: Where the kernel of a picture goes when it becomes one of a clip.
INFLATIONS = ("center", "mean")
