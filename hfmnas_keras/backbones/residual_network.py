"""Residual networks for pictures as torchvision publishes them: ResNet and ResNeXt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from hfmnas_keras.backbones.grouped_convolution import GroupedConvolution2D
from hfmnas_keras.backbones.standardisation import IMAGENET, standardisation
from hfmnas_keras.backbones.tensor_places import TensorPlace, convolution_places, fill_places, normalization_places

#: By name: blocks of the four layers, groups of the middle convolutions, and channels of a group in the first layer.
RESIDUAL_NETWORKS = {
    "resnet50": ((3, 4, 6, 3), 1, 64),
    "resnet101": ((3, 4, 23, 3), 1, 64),
    "resnet152": ((3, 8, 36, 3), 1, 64),
    "resnext50_32x4d": ((3, 4, 6, 3), 32, 4),
    "resnext101_32x8d": ((3, 4, 23, 3), 32, 8),
}
_LEFT_OUT = ("fc.weight", "fc.bias")


def residual_network(blocks: Sequence[int] = (3, 4, 6, 3), groups: int = 1, group_width: int = 64) -> keras.Model:
    """Builds a ResNet or, with groups, a ResNeXt, of bottlenecks that stride in their middle convolution.

    Preprocessing is part of the model. All layers are Keras's own but the convolutions in groups.

    Args:
        blocks: four ints. Bottlenecks of each layer. Defaults to those of ResNet-50.
        groups: int. Groups of the middle convolutions. Defaults to `1`.
        group_width: int. Their channels in the first layer; each layer has twice those of the one before.

    Returns:
        `keras.Model` from `image`, float32 `(batch, height, width, 3)` of any size, RGB in 0 to 255, to a dict of
        `layer1` to `layer4`, maps with 1/4, 1/8, 1/16 and 1/32 of the height and width and 256 to 2048 channels.

    Raises:
        ValueError: when there are not four layers, or a number is not positive.

    Reference:
     - [He et al., 2016](https://arxiv.org/abs/1512.03385); [Xie et al., 2017](https://arxiv.org/abs/1611.05431); the
       strides as of torchvision
    """
    if len(blocks) != 4 or min(*blocks, groups, group_width) < 1:
        raise ValueError(
            "`blocks` must be four positive ints, `groups` and `group_width` positive. Received: "
            f"{tuple(blocks)}, {groups}, {group_width}."
        )
    image = keras.Input((None, None, 3), dtype="float32", name="image")
    hidden = keras.layers.ZeroPadding2D(3, name="stem_padding")(standardisation(IMAGENET)(image))
    hidden = _relu(_normalized(_convolution(64, 7, 2, "conv1"), hidden, "bn1"), "stem_relu")
    # After ReLU, zeros around the map never win over what is inside: the same as PyTorch's padding by -infinity.
    hidden = keras.layers.ZeroPadding2D(1, name="stem_pool_padding")(hidden)
    hidden = keras.layers.MaxPooling2D(3, 2, name="stem_pool")(hidden)
    taps = {}
    for number, count in enumerate(blocks, start=1):
        inner, outer = groups * group_width * 2 ** (number - 1), 256 * 2 ** (number - 1)
        for index in range(count):
            strides = 2 if number > 1 and not index else 1
            hidden = _bottleneck(hidden, inner, outer, strides, groups, f"layer{number}_{index}")
        taps[f"layer{number}"] = hidden
    return keras.Model(image, taps, name="residual_network")


def residual_network_from_tensors(
    tensors: Mapping[str, np.ndarray], blocks: Sequence[int] = (3, 4, 6, 3), groups: int = 1, group_width: int = 64
) -> keras.Model:
    """A `residual_network` with the weights of torchvision's; its classifier is left out.

    Args:
        tensors: the tensors by their names there, such as `layer1.0.conv1.weight`.
        blocks, groups, group_width: as of `residual_network`.

    Raises:
        ValueError: when the tensors are none of that network.
    """
    model = residual_network(blocks, groups, group_width)
    cure = "Take torchvision's file of that very network, or the kind of the file."
    fill_places(model.name, list(_places(model)), tensors, cure, ignored=_LEFT_OUT)
    return model


def _bottleneck(inputs: Any, inner: Any, outer: Any, strides: Any, groups: Any, name: str) -> Any:
    hidden = _relu(_normalized(_convolution(inner, 1, 1, f"{name}_conv1"), inputs, f"{name}_bn1"), f"{name}_relu1")
    hidden = keras.layers.ZeroPadding2D(1, name=f"{name}_padding")(hidden)
    if groups == 1:
        middle = _convolution(inner, 3, strides, f"{name}_conv2")
    else:
        middle = GroupedConvolution2D(inner, 3, groups, strides, padding="valid", name=f"{name}_conv2")
    hidden = _relu(_normalized(middle, hidden, f"{name}_bn2"), f"{name}_relu2")
    hidden = _normalized(_convolution(outer, 1, 1, f"{name}_conv3"), hidden, f"{name}_bn3")
    if strides > 1 or inputs.shape[-1] != outer:
        shortcut = _convolution(outer, 1, strides, f"{name}_downsample_0")
        inputs = _normalized(shortcut, inputs, f"{name}_downsample_1")
    return _relu(keras.layers.Add(name=f"{name}_add")([hidden, inputs]), f"{name}_out")


def _places(model: keras.Model) -> Iterator[TensorPlace]:
    for layer in model.layers:
        # layer1_0_downsample_0 is layer1.0.downsample.0.
        name = layer.name.replace("_", ".")
        if isinstance(layer, keras.layers.Conv2D | GroupedConvolution2D):
            yield from convolution_places(name, layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield from normalization_places(name, layer)


def _convolution(filters: int, kernel: Any, strides: Any, name: str) -> Any:
    return keras.layers.Conv2D(
        filters, kernel, strides=strides, use_bias=False, kernel_initializer="he_normal", name=name
    )


def _normalized(convolution: Any, inputs: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(convolution(inputs))


def _relu(hidden: Any, name: str) -> Any:
    return keras.layers.ReLU(name=name)(hidden)
