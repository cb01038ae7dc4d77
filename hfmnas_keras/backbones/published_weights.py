"""Puts the tensors of published PyTorch networks into backbones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from hfmnas_keras.backbones.bottleneck import Bottleneck
from hfmnas_keras.backbones.cooccurrence_network import CooccurrenceNetwork
from hfmnas_keras.backbones.published_networks import INFLATIONS
from hfmnas_keras.backbones.tensor_places import (
    TensorPlace,
    convolution_places,
    fill_places,
    linear_places,
    normalization_places,
)

# What the published networks call their classifiers.
_HEADS = ("fc", "fc8", "classifier")


def load_published_weights(
    backbone: keras.Model, tensors: Mapping[str, np.ndarray], inflation: str = "center", with_head: bool = False
) -> None:
    """Sets the weights of a backbone from the state dict of the published PyTorch network (docs/method.md, section 3).

    Known are: VGG as torchvision names it (`features.0.weight`), ResNet-50 in two dimensions or inflated
    (`layer1.0.conv1.weight`), the three-dimensional ResNeXt, and the co-occurrence network (`conv1.0.weight`). A prefix
    that all names share, such as `module.`, is left out. All tensors are checked before the first weight is set.

    Args:
        backbone: an image, video or skeleton backbone of the published network's depth and width.
        tensors: mapping from names to arrays. A kernel of two dimensions where the backbone has three is inflated.
        inflation: str. `"center"` (default): the kernel in the middle frame, zeros in the others, so that each frame's
            features are those of the two-dimensional network. `"mean"`: the kernel in all frames, divided by their
            number, so that a clip that stands still keeps its features but at its ends.
        with_head: bool. Whether to set the head's linear layer too, from the published classifier. Defaults to `False`.

    Raises:
        ValueError: when tensors are missing, unknown, of another shape, or hold NaN or infinity.
    """
    if inflation not in INFLATIONS:
        raise ValueError(f"`inflation` must be one of {INFLATIONS}. Received: {inflation!r}.")
    places = list(_trunk_places(backbone))
    prefix = _prefix(tensors, places[0].name, places[-1].name)
    places = [dataclasses.replace(place, name=prefix + place.name) for place in places]
    heads = {name for name in tensors if _is_head(name)}
    if with_head:
        places.extend(linear_places(_head_name(tensors), backbone.get_layer("head").get_layer("logits")))
    inflated = [
        dataclasses.replace(place, arrange=_inflating(place, inflation)) if _sides(place) == 3 else place
        for place in places
    ]
    cure = "Take the file of the same network, or set depth, width, blocks, stem and input as the file has them."
    fill_places(backbone.name, inflated, tensors, cure, ignored=heads)


def published_outputs(tensors: Mapping[str, np.ndarray]) -> int:
    """How many classes the published classifier tells apart.

    Raises:
        ValueError: when there is no such classifier, or more than one layer of it.
    """
    return int(tensors[f"{_head_name(tensors)}.weight"].shape[0])


def _trunk_places(backbone: keras.Model) -> Iterator[TensorPlace]:
    convolutions = [layer for layer in backbone.layers if layer.name.startswith("block") and layer.weights]
    if convolutions:
        # Every convolution is followed by ReLU, every block by pooling: both have numbers too.
        for index, layer in enumerate(convolutions):
            pools = int(layer.name[len("block")]) - 1
            yield from convolution_places(f"features.{2 * index + pools}", layer)
        return
    for layer in backbone.layers:
        if isinstance(layer, CooccurrenceNetwork):
            yield from _cooccurrence_places(layer)
        elif isinstance(layer, Bottleneck):
            yield from _bottleneck_places(layer.name.replace("_", "."), layer)
        elif isinstance(layer, keras.layers.Conv3D):
            yield from convolution_places(layer.name, layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield from normalization_places(layer.name, layer)


def _bottleneck_places(name: str, block: Any) -> Any:
    for number in (1, 2, 3):
        yield from convolution_places(f"{name}.conv{number}", getattr(block, f"conv{number}"))
        yield from normalization_places(f"{name}.bn{number}", getattr(block, f"bn{number}"))
    if block.has_projection:
        yield from convolution_places(f"{name}.downsample.0", block.shortcut_conv)
        yield from normalization_places(f"{name}.downsample.1", block.shortcut_bn)


def _cooccurrence_places(network: Any) -> Any:
    for stream in ("", "m"):
        yield from convolution_places(f"conv1{stream}.0", getattr(network, f"conv1{stream}"))
        yield from convolution_places(f"conv2{stream}", getattr(network, f"conv2{stream}"))
        yield from convolution_places(f"conv3{stream}.0", getattr(network, f"conv3{stream}"))
        yield from convolution_places(f"conv4{stream}.0", getattr(network, f"conv4{stream}"))
    yield from convolution_places("conv5.0", network.conv5)
    yield from convolution_places("conv6.0", network.conv6)
    yield from linear_places("fc7.0", network.fc7, channels=network.conv6.filters)


def _sides(place: Any) -> Any:
    return len(place.variable.shape) - 2


def _inflating(place: Any, inflation: Any) -> Any:
    """Arranges a kernel of two dimensions, too, for a place of three."""
    frames = place.variable.shape[0]

    def arrange(values: Any) -> Any:
        if values.ndim == 4 and inflation == "mean":
            values = np.repeat(values[:, :, None], frames, axis=2) / np.float32(frames)
        elif values.ndim == 4:
            centred = np.zeros((*values.shape[:2], frames, *values.shape[2:]), values.dtype)
            centred[:, :, frames // 2] = values
            values = centred
        return place.arrange(values)

    return arrange


def _prefix(names: Any, first: Any, last: Any) -> Any:
    prefixes = [name[: -len(first)] for name in names if name == first or name.endswith(f".{first}")]
    return min((prefix for prefix in prefixes if prefix + last in names), key=len, default="")


def _is_head(name: str) -> Any:
    return any(part in _HEADS for part in name.split("."))


def _head_name(tensors: Any) -> Any:
    names = [
        name.removesuffix(".weight")
        for name in tensors
        if name.endswith(".weight") and name.split(".")[-2] in _HEADS and tensors[name].ndim == 2
    ]
    if len(names) != 1:
        raise ValueError(
            f"Expected one linear classifier, called one of {', '.join(_HEADS)}. Found: {', '.join(names) or 'none'}. "
            "Convert the trunk alone."
        )
    return names[0]
