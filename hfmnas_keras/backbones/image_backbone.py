"""The image backbone: VGG with two taps and a head (HF-MNAS, Eq. 6-7)."""

from __future__ import annotations

from typing import Any

import keras

from hfmnas_keras.backbones.adaptive_max_pool import AdaptiveMaxPool
from hfmnas_keras.backbones.caffe_preprocessing import CaffePreprocessing
from hfmnas_keras.backbones.standardisation import IMAGENET, standardisation
from hfmnas_keras.backbones.trunk_weights import load_trunk_weights
from hfmnas_keras.backbones.vgg_weights import load_hed_trunk
from hfmnas_keras.layers.normalization import batch_normalization
from hfmnas_keras.settings.backbones import VGG_CONVOLUTIONS, ImageBackboneSettings

_FILTERS = (64, 128, 256, 512, 512)


def image_backbone(
    image_shape: tuple[int, int, int],
    num_outputs: int,
    settings: ImageBackboneSettings | None = None,
    grid: tuple[int, int] = (4, 4),
) -> keras.Model:
    """Builds VGG-16 or VGG-19 with two pooled taps and a head on the high one (docs/method.md, section 3).

    Preprocessing is part of the model. What follows the high tap is one sub-model named `head`, so a
    frozen trunk's taps can be computed once and the head be trained on them.

    Args:
        image_shape: height, width and channels; the channels are RGB.
        num_outputs: int. Classes or labels.
        settings: `ImageBackboneSettings`. Defaults to the paper's.
        grid: pair of ints. Size of the pooled taps. Defaults to `(4, 4)`.

    Returns:
        `keras.Model` from `image`, float32 `(batch, height, width, 3)` in 0 to 255, to a dict of `low` and `high`
        `(batch, *grid, channels)` and `logits` `(batch, num_outputs)`.

    Raises:
        ValueError: for an unknown depth, tap or trunk, or a trunk that does not fit.
        RuntimeError: when the trunk's weights are asked for and missing.
    """
    settings = settings or ImageBackboneSettings()
    _check(image_shape)
    image = keras.Input(tuple(image_shape), dtype="float32", name="image")
    if settings.preprocessing == "caffe":
        hidden = CaffePreprocessing(name="preprocessing")(image)
    else:
        hidden = standardisation(IMAGENET)(image)
    outputs = {}
    for block, (count, filters) in enumerate(zip(VGG_CONVOLUTIONS[settings.depth], _FILTERS, strict=True), start=1):
        for index in range(1, count + 1):
            name = f"block{block}_conv{index}"
            hidden = keras.layers.Conv2D(
                max(1, round(filters * settings.width)),
                3,
                padding="same",
                activation="relu",
                # Nothing normalises between these layers: Glorot's scale would fade over 16 of them.
                kernel_initializer="he_normal",
                trainable=settings.train_trunk,
                name=name,
            )(hidden)
            outputs[name] = hidden
        # Pictures smaller than 32 pixels still leave one cell.
        hidden = keras.layers.MaxPooling2D(2, padding="same", name=f"block{block}_pool")(hidden)
        outputs[f"block{block}_pool"] = hidden
    low = AdaptiveMaxPool(grid, name="low_pool")(outputs[settings.low_tap])
    high = AdaptiveMaxPool(grid, name="high_pool")(outputs[settings.high_tap])
    head = _head(tuple(high.shape[1:]), num_outputs, settings)
    backbone = keras.Model(image, {"low": low, "high": high, "logits": head(high)}, name="image_backbone")
    if settings.trunk == "hed":
        # The file has the last blocks even where the backbone ends before them, at its tap.
        load_hed_trunk(keras.Model(image, outputs))
    if settings.trunk_weights is not None:
        load_trunk_weights(backbone, settings.trunk_weights)
    return backbone


def _head(input_shape: Any, num_outputs: int, settings: Any) -> Any:
    layers = [keras.Input(input_shape, name="head_input"), keras.layers.Flatten(name="flatten")]
    layers.append(batch_normalization(affine=True, dtype=None, name="normalization"))
    layers.append(keras.layers.Dropout(settings.head_dropout, name="dropout"))
    if settings.head_units:
        layers.append(keras.layers.Dense(settings.head_units, activation="relu", name="hidden"))
        layers.append(keras.layers.Dropout(settings.head_dropout, name="hidden_dropout"))
    layers.append(keras.layers.Dense(num_outputs, dtype="float32", name="logits"))
    return keras.Sequential(layers, name="head")


def _check(image_shape: Any) -> None:
    if len(image_shape) != 3 or image_shape[-1] != 3:
        raise ValueError(f"`image_shape` must be (height, width, 3). Received: {tuple(image_shape)}.")
