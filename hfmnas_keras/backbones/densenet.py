"""DenseNet for pictures as torchvision publishes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from hfmnas_keras.backbones.standardisation import IMAGENET, standardisation
from hfmnas_keras.backbones.tensor_places import TensorPlace, convolution_places, fill_places, normalization_places

#: By name: layers of the four blocks, channels that each adds, and channels of the first convolution.
DENSENETS = {
    "densenet121": ((6, 12, 24, 16), 32, 64),
    "densenet161": ((6, 12, 36, 24), 48, 96),
    "densenet169": ((6, 12, 32, 32), 32, 64),
    "densenet201": ((6, 12, 48, 32), 32, 64),
}
# Filters of a layer's 1x1 convolution, as a multiple of the channels that the layer adds.
_BOTTLENECK = 4
_LEFT_OUT = ("classifier.weight", "classifier.bias")
# Older files call `norm1` `norm.1`.
_OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")


def densenet(blocks: Sequence[int] = (6, 12, 24, 16), growth: int = 32, stem_filters: int = 64) -> keras.Model:
    """Builds DenseNet of built-in Keras layers alone, so that its `.keras` file loads without our code.

    Each layer of a block reads all that came before it in the block, and adds `growth` channels. Between two blocks a
    1x1 convolution halves the channels, and pooling the sides. Preprocessing is part of the model.

    Args:
        blocks: ints. Layers of each block. Defaults to those of DenseNet-121.
        growth: int. Channels that a layer adds. Defaults to `32`.
        stem_filters: int. Channels of the first convolution. Defaults to `64`.

    Returns:
        `keras.Model` from `image`, float32 `(batch, height, width, 3)` of any size, RGB in 0 to 255, to a dict of
        `block_1` to `block_4`, maps with 1/4, 1/8, 1/16 and 1/32 of the height and width, and `normed`, the last one
        normalised and rectified, as the classifier reads it.

    Raises:
        ValueError: when a number is not positive.

    Reference:
     - [Huang et al., 2017](https://arxiv.org/abs/1608.06993)
    """
    if not blocks or min(*blocks, growth, stem_filters) < 1:
        raise ValueError(
            "`blocks`, `growth` and `stem_filters` must be positive. Received: "
            f"{tuple(blocks)}, {growth}, {stem_filters}."
        )
    image = keras.Input((None, None, 3), dtype="float32", name="image")
    hidden = keras.layers.ZeroPadding2D(3, name="stem_padding")(standardisation(IMAGENET)(image))
    hidden = _rectified(_convolution(stem_filters, 7, "conv0", strides=2)(hidden), "norm0")
    # After ReLU, zeros around the map never win over what is inside: the same as PyTorch's padding by -infinity.
    hidden = keras.layers.ZeroPadding2D(1, name="stem_pool_padding")(hidden)
    hidden = keras.layers.MaxPooling2D(3, 2, name="stem_pool")(hidden)
    taps = {}
    for number, count in enumerate(blocks, start=1):
        if number > 1:
            name = f"transition{number - 1}"
            hidden = _convolution(hidden.shape[-1] // 2, 1, f"{name}_conv")(_rectified(hidden, f"{name}_norm"))
            hidden = keras.layers.AveragePooling2D(2, name=f"{name}_pool")(hidden)
        for index in range(1, count + 1):
            name = f"denseblock{number}_denselayer{index}"
            inner = _convolution(_BOTTLENECK * growth, 1, f"{name}_conv1")(_rectified(hidden, f"{name}_norm1"))
            inner = _rectified(inner, f"{name}_norm2")
            added = _convolution(growth, 3, f"{name}_conv2", padding="same")(inner)
            hidden = keras.layers.Concatenate(name=f"{name}_concat")([hidden, added])
        taps[f"block_{number}"] = hidden
    taps["normed"] = _rectified(hidden, "norm5")
    return keras.Model(image, taps, name="densenet")


def densenet_from_tensors(
    tensors: Mapping[str, np.ndarray], blocks: Sequence[int] = (6, 12, 24, 16), growth: int = 32, stem_filters: int = 64
) -> keras.Model:
    """A `densenet` with the weights of torchvision's; its classifier is left out.

    Args:
        tensors: the tensors by their names there, such as `features.conv0.weight`; those of older files, too.
        blocks, growth, stem_filters: as of `densenet`.

    Raises:
        ValueError: when the tensors are none of that network.
    """
    model = densenet(blocks, growth, stem_filters)
    tensors = {_OLD_NAME.sub(r"\1\2.", name): values for name, values in tensors.items()}
    cure = "Take torchvision's file of that very network, or the kind of the file."
    fill_places(model.name, list(_places(model)), tensors, cure, ignored=_LEFT_OUT)
    return model


def _places(model: keras.Model) -> Iterator[TensorPlace]:
    for layer in model.layers:
        name = f"features.{layer.name.replace('_', '.')}"
        if isinstance(layer, keras.layers.Conv2D):
            yield from convolution_places(name, layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield from normalization_places(name, layer)


def _convolution(filters: int, kernel: Any, name: str, **arguments: Any) -> Any:
    return keras.layers.Conv2D(filters, kernel, use_bias=False, kernel_initializer="he_normal", name=name, **arguments)


def _rectified(hidden: Any, name: str) -> Any:
    hidden = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(hidden)
    return keras.layers.ReLU(name=f"{name}_relu")(hidden)
