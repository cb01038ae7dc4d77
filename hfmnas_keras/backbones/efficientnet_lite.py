"""EfficientNet-Lite: small convolutional networks for pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from hfmnas_keras.backbones.tensor_places import TensorPlace, convolution_places, fill_places, normalization_places

#: By variant: how many times the filters and the blocks of the base network, and the side of the pictures that it was
#: trained on.
VARIANTS = {0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260), 3: (1.2, 1.4, 280), 4: (1.4, 1.8, 300)}
# The base network's seven stages: blocks, kernel, strides, expansion and filters.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# The first and the last stage have as many blocks in all variants. So have the two outer convolutions filters.
_FIXED_STAGES = (0, len(_STAGES) - 1)
_STEM_FILTERS, _TOP_FILTERS = 32, 1280


def efficientnet_lite(variant: int = 0, width: float | None = None) -> keras.Model:
    """Builds EfficientNet-Lite of built-in Keras layers alone, so that its `.keras` file loads without our code.

    Seven stages of inverted residual blocks, with ReLU6 and without squeeze-and-excitation. Preprocessing,
    `(x - 127) / 128`, is part of the model; strided convolutions pad as TensorFlow does, at the end.

    Args:
        variant: int. 0 to 4.
        width: float. How many times the base network's filters, in the stages. Defaults to `None`: the variant's.

    Returns:
        `keras.Model` from `image`, float32 `(batch, height, width, 3)` of any size, RGB in 0 to 255, to a dict of
        `stage_1` to `stage_7` and `top`, maps with 1/2, 1/4, 1/8, 1/16, 1/16, 1/32, 1/32 and 1/32 of the height and
        width.

    Raises:
        ValueError: for an unknown variant, or a width that is not positive.

    Example:
    >>> tuple(efficientnet_lite(width=0.25)(np.zeros((1, 64, 64, 3)))["stage_5"].shape)
    (1, 4, 4, 32)

    Reference:
     - [Tan & Le, 2019](https://arxiv.org/abs/1905.11946); the Lite variants after the authors' `lite` configuration
    """
    if variant not in VARIANTS:
        raise ValueError(f"`variant` must be one of {sorted(VARIANTS)}. Received: {variant!r}.")
    if width is not None and width <= 0:
        raise ValueError(f"`width` must be above 0. Received: {width}.")
    width = width or VARIANTS[variant][0]
    image = keras.Input((None, None, 3), dtype="float32", name="image")
    hidden = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="preprocessing")(image)
    hidden = _normalized(_convolution(_STEM_FILTERS, 3, 2, "stem"), hidden)
    taps = {}
    for number, name, kernel, strides, expansion, base_filters in _blocks(variant):
        filters, channels = _rounded(base_filters * width), hidden.shape[-1]
        inner = hidden
        if expansion > 1:
            inner = _normalized(_convolution(channels * expansion, 1, 1, f"{name}_expand"), inner)
        depthwise = keras.layers.DepthwiseConv2D(
            kernel, strides=strides, padding="same", use_bias=False, name=f"{name}_depthwise"
        )
        inner = _normalized(depthwise, inner)
        inner = _normalized(_convolution(filters, 1, 1, f"{name}_project"), inner, is_linear=True)
        if strides == 1 and channels == filters:
            inner = keras.layers.Add(name=f"{name}_add")([inner, hidden])
        hidden = inner
        taps[f"stage_{number}"] = hidden
    taps["top"] = _normalized(_convolution(_TOP_FILTERS, 1, 1, "top"), hidden)
    return keras.Model(image, taps, name=f"efficientnet_lite{variant}")


def efficientnet_lite_from_tensors(
    tensors: Mapping[str, np.ndarray], variant: int = 0, width: float | None = None
) -> keras.Model:
    """An `efficientnet_lite` with the weights of the published PyTorch network; its classifier is left out.

    Args:
        tensors: the tensors by their names in the package `efficientnet_lite_pytorch`, such as `_conv_stem.weight`.
            Other packages' networks pad in another way, so that their tensors would compute something else.
        variant: int. 0 to 4.
        width: float. As in `efficientnet_lite`.

    Raises:
        ValueError: when the tensors are none of that network.
    """
    model = efficientnet_lite(variant, width)
    cure = f"Take the file of efficientnet_lite_pytorch's EfficientNet-Lite{variant}, or the variant of the file."
    fill_places(model.name, list(_places(model, variant)), tensors, cure, ignored=("_fc.weight", "_fc.bias"))
    return model


def _blocks(variant: Any) -> Any:
    """Of each block: number of its stage, name, kernel, strides, expansion and the base network's filters."""
    depth = VARIANTS[variant][1]
    for index, (repeats, kernel, strides, expansion, filters) in enumerate(_STAGES):
        for block in range(repeats if index in _FIXED_STAGES else math.ceil(depth * repeats)):
            name = f"stage_{index + 1}_block_{block + 1}"
            yield index + 1, name, kernel, 1 if block else strides, expansion, filters


def _places(model: keras.Model, variant: Any) -> Iterator[TensorPlace]:
    yield from _convolution_places(model, "stem", "_conv_stem", "_bn0")
    for index, (_, name, _, _, expansion, _) in enumerate(_blocks(variant)):
        prefix = f"_blocks.{index}."
        if expansion > 1:
            yield from _convolution_places(model, f"{name}_expand", f"{prefix}_expand_conv", f"{prefix}_bn0")
        yield from _convolution_places(model, f"{name}_depthwise", f"{prefix}_depthwise_conv", f"{prefix}_bn1")
        yield from _convolution_places(model, f"{name}_project", f"{prefix}_project_conv", f"{prefix}_bn2")
    yield from _convolution_places(model, "top", "_conv_head", "_bn1")


def _convolution_places(model: keras.Model, layer: Any, convolution: Any, normalization: Any) -> Any:
    yield from convolution_places(convolution, model.get_layer(layer))
    yield from normalization_places(normalization, model.get_layer(f"{layer}_normalization"))


def _rounded(filters: int) -> Any:
    """The nearest multiple of eight, but never less than nine tenths."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def _convolution(filters: int, kernel: Any, strides: Any, name: str) -> Any:
    return keras.layers.Conv2D(
        filters, kernel, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )


def _normalized(convolution: Any, inputs: Any, is_linear: bool = False) -> Any:
    normalization = keras.layers.BatchNormalization(
        momentum=0.99, epsilon=1e-3, name=f"{convolution.name}_normalization"
    )
    hidden = normalization(convolution(inputs))
    return hidden if is_linear else keras.layers.ReLU(6.0, name=f"{convolution.name}_relu")(hidden)
