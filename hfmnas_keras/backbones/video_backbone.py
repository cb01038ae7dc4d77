"""The backbones of clips, colour or depth: inflated ResNet-50 and 3-D ResNeXt-101."""

from __future__ import annotations

from typing import Any

import keras

from hfmnas_keras.backbones.adaptive_max_pool import AdaptiveMaxPool
from hfmnas_keras.backbones.bottleneck import Bottleneck, trunk_normalization
from hfmnas_keras.backbones.standardisation import ACTIVITYNET, IMAGENET, standardisation
from hfmnas_keras.backbones.trunk_weights import load_trunk_weights
from hfmnas_keras.settings.backbones import VideoBackboneSettings

_NETWORKS = {
    # Blocks a layer, inner filters of the first layer, output filters by inner ones, frames that the stem spans.
    "inflated_resnet50": ((3, 4, 6, 3), 64, 4, 1),
    "resnext101": ((3, 4, 23, 3), 128, 2, 7),
}


def video_backbone(
    input_shape: tuple[int, int, int, int],
    num_outputs: int,
    settings: VideoBackboneSettings | None = None,
    grid: tuple[int, int] = (8, 1),
    input_name: str = "video",
) -> keras.Model:
    """Builds a three-dimensional residual network with two taps and a head (docs/method.md, section 3).

    `inflated_resnet50`: a 2-D stem on each frame, bottlenecks whose middle convolution is 3x3x3, strides in space
    alone. `resnext101`: a 3-D stem, grouped bottlenecks, strides in time and space. Preprocessing is part of the model.

    Args:
        input_shape: frames, height, width and channels: 3 (RGB) or 1 (depth).
        num_outputs: int. Classes or labels.
        settings: `VideoBackboneSettings`. Defaults to an inflated ResNet-50.
        grid: pair of ints. Size of pooled maps: time and space. Defaults to `(8, 1)`.
        input_name: str. `"video"` (default) or `"depth"`.

    Returns:
        `keras.Model` from `input_name`, float32 `(batch, frames, height, width, channels)` in 0 to 255, to a dict of
        `low` and `high`, each `(batch, *grid, channels)` or, for the tap `pooled`, `(batch, channels)`, and `logits`
        `(batch, num_outputs)`. What follows the high tap is one sub-model named `head`.

    Raises:
        ValueError: for another input shape, or trunk weights that do not fit.
    """
    settings = settings or VideoBackboneSettings()
    if len(input_shape) != 4 or input_shape[-1] not in (1, 3):
        raise ValueError(f"`input_shape` must be (frames, height, width, 1 or 3). Received: {input_shape}.")
    own_blocks, first_filters, expansion, own_stem = _NETWORKS[settings.network]
    in_space_alone = settings.network == "inflated_resnet50"
    clip = keras.Input(input_shape, dtype="float32", name=input_name)
    hidden = standardisation(IMAGENET if in_space_alone else ACTIVITYNET, input_shape[-1])(clip)
    hidden = _stem(hidden, settings, settings.stem_frames or own_stem, in_space_alone)
    taps = {}
    for number, count in enumerate(settings.blocks or own_blocks):
        inner_filters = max(1, round(first_filters * settings.width)) * 2**number
        for index in range(count):
            stride = 2 if number and not index else 1
            hidden = Bottleneck(
                inner_filters,
                inner_filters * expansion,
                (1 if in_space_alone else stride, stride, stride),
                1 if in_space_alone else settings.cardinality,
                trainable=settings.train_trunk,
                name=f"layer{number + 1}_{index}",
            )(hidden)
        taps[f"layer{number + 1}"] = hidden
    taps["pooled"] = keras.layers.GlobalAveragePooling3D(name="pooled")(hidden)
    low = _into_grid(taps[settings.low_tap], grid, "low")
    high = _into_grid(taps[settings.high_tap], grid, "high")
    head = _head(tuple(high.shape[1:]), num_outputs, settings)
    backbone = keras.Model(clip, {"low": low, "high": high, "logits": head(high)}, name=f"{input_name}_backbone")
    if settings.trunk_weights is not None:
        load_trunk_weights(backbone, settings.trunk_weights)
    return backbone


def _stem(hidden: Any, settings: Any, frames: Any, in_space_alone: Any) -> Any:
    hidden = keras.layers.ZeroPadding3D((frames // 2, 3, 3), name="stem_padding")(hidden)
    hidden = keras.layers.Conv3D(
        max(1, round(64 * settings.width)),
        (frames, 7, 7),
        strides=(1, 2, 2),
        use_bias=False,
        kernel_initializer="he_normal",
        trainable=settings.train_trunk,
        name="conv1",
    )(hidden)
    normalization = trunk_normalization(None, "bn1")
    normalization.trainable = settings.train_trunk
    hidden = keras.layers.ReLU(name="stem_relu")(normalization(hidden))
    # After ReLU, zeros around the map never win over what is inside: the same as PyTorch's padding by -infinity.
    padding, size, strides = ((0, 1, 1), (1, 3, 3), (1, 2, 2)) if in_space_alone else ((1, 1, 1), 3, 2)
    hidden = keras.layers.ZeroPadding3D(padding, name="stem_pool_padding")(hidden)
    return keras.layers.MaxPooling3D(size, strides, name="stem_pool")(hidden)


def _into_grid(tap: Any, grid: Any, name: str) -> Any:
    if len(tap.shape) == 2:
        return tap
    frames, height, width, channels = tap.shape[1:]
    tap = keras.layers.Reshape((frames, height * width, channels), name=f"{name}_positions")(tap)
    return AdaptiveMaxPool(grid, name=f"{name}_pool")(tap)


def _head(input_shape: Any, num_outputs: int, settings: Any) -> Any:
    layers = [keras.Input(input_shape, name="head_input")]
    if len(input_shape) == 3:
        layers.append(keras.layers.GlobalAveragePooling2D(name="average"))
    layers.append(keras.layers.Dropout(settings.head_dropout, name="dropout"))
    layers.append(keras.layers.Dense(num_outputs, dtype="float32", name="logits"))
    return keras.Sequential(layers, name="head")
