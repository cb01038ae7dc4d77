"""Puts the tensors of published PyTorch networks into backbones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from hfmnas_keras.backbones.bottleneck import Bottleneck
from hfmnas_keras.backbones.cooccurrence_network import CooccurrenceNetwork
from hfmnas_keras.backbones.published_networks import INFLATIONS

# What the published networks call their classifiers.
_HEADS = ("fc", "fc8", "classifier")
_NAMED = 5


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
        places.extend(_linear_places(_head_name(tensors), backbone.get_layer("head").get_layer("logits")))
    known = {place.name for place in places} | heads
    unknown = [name for name in tensors if name not in known and not name.endswith(".num_batches_tracked")]
    missing = [place.name for place in places if place.name not in tensors]
    problems = []
    if missing:
        problems.append(f"missing: {_listed(missing)}")
    if unknown:
        problems.append(f"unknown: {_listed(unknown)}")
    values = {}
    for place in places:
        if place.name in missing:
            continue
        value = place.arrange(_inflated(tensors[place.name], place, inflation))
        if value is None or value.shape != tuple(place.variable.shape):
            received = tuple(tensors[place.name].shape)
            problems.append(f"{place.name} has shape {received}, where {place.variable.path} is {place.variable.shape}")
        elif not np.isfinite(value).all():
            problems.append(f"{place.name} holds NaN or infinity")
        else:
            values[place.name] = value
    if problems:
        raise ValueError(
            f"The published weights do not fit `{backbone.name}`: {_listed(problems, '; ')}. Take the file of the same "
            "network, or set depth, width, blocks, stem and input as the file has them."
        )
    for place in places:
        place.variable.assign(values[place.name])


def published_outputs(tensors: Mapping[str, np.ndarray]) -> int:
    """How many classes the published classifier tells apart.

    Raises:
        ValueError: when there is no such classifier, or more than one layer of it.
    """
    return int(tensors[f"{_head_name(tensors)}.weight"].shape[0])


@dataclasses.dataclass(frozen=True)
class _Place:
    """A tensor's name, the weight it becomes, and how."""

    name: str
    variable: Any
    arrange: Callable[[np.ndarray], np.ndarray | None]


def _trunk_places(backbone: keras.Model) -> Iterator[_Place]:
    convolutions = [layer for layer in backbone.layers if layer.name.startswith("block") and layer.weights]
    if convolutions:
        # Every convolution is followed by ReLU, every block by pooling: both have numbers too.
        for index, layer in enumerate(convolutions):
            pools = int(layer.name[len("block")]) - 1
            yield from _convolution_places(f"features.{2 * index + pools}", layer)
        return
    for layer in backbone.layers:
        if isinstance(layer, CooccurrenceNetwork):
            yield from _cooccurrence_places(layer)
        elif isinstance(layer, Bottleneck):
            yield from _bottleneck_places(layer.name.replace("_", "."), layer)
        elif isinstance(layer, keras.layers.Conv3D):
            yield from _convolution_places(layer.name, layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            yield from _normalization_places(layer.name, layer)


def _bottleneck_places(name, block):
    for number in (1, 2, 3):
        yield from _convolution_places(f"{name}.conv{number}", getattr(block, f"conv{number}"))
        yield from _normalization_places(f"{name}.bn{number}", getattr(block, f"bn{number}"))
    if block.has_projection:
        yield from _convolution_places(f"{name}.downsample.0", block.shortcut_conv)
        yield from _normalization_places(f"{name}.downsample.1", block.shortcut_bn)


def _cooccurrence_places(network):
    for stream in ("", "m"):
        yield from _convolution_places(f"conv1{stream}.0", getattr(network, f"conv1{stream}"))
        yield from _convolution_places(f"conv2{stream}", getattr(network, f"conv2{stream}"))
        yield from _convolution_places(f"conv3{stream}.0", getattr(network, f"conv3{stream}"))
        yield from _convolution_places(f"conv4{stream}.0", getattr(network, f"conv4{stream}"))
    yield from _convolution_places("conv5.0", network.conv5)
    yield from _convolution_places("conv6.0", network.conv6)
    yield from _linear_places("fc7.0", network.fc7, channels=network.conv6.filters)


def _convolution_places(name, layer):
    def arrange(kernel):
        # From filters, channels and sides.
        return np.moveaxis(kernel, (0, 1), (-1, -2)) if kernel.ndim > 2 else None

    yield _Place(f"{name}.weight", layer.kernel, arrange)
    if getattr(layer, "use_bias", False):
        yield _Place(f"{name}.bias", layer.bias, lambda bias: bias)


def _normalization_places(name, layer):
    for published, variable in (
        ("weight", layer.gamma),
        ("bias", layer.beta),
        ("running_mean", layer.moving_mean),
        ("running_var", layer.moving_variance),
    ):
        yield _Place(f"{name}.{published}", variable, lambda values: values)


def _linear_places(name, layer, channels=None):
    def arrange(matrix):
        if matrix.ndim != 2:
            return None
        if channels is not None and matrix.shape[1] % channels == 0:
            # It reads a flattened map, there channel by channel, here position by position.
            by_channel = matrix.reshape(len(matrix), channels, -1)
            matrix = by_channel.transpose(0, 2, 1).reshape(matrix.shape)
        return matrix.T

    yield _Place(f"{name}.weight", layer.kernel, arrange)
    yield _Place(f"{name}.bias", layer.bias, lambda bias: bias)


def _inflated(values, place, inflation):
    sides = place.variable.shape[:-2]
    if len(sides) != 3 or values.ndim != 4:
        return values
    frames = sides[0]
    if inflation == "mean":
        return np.repeat(values[:, :, None], frames, axis=2) / np.float32(frames)
    inflated = np.zeros((*values.shape[:2], frames, *values.shape[2:]), values.dtype)
    inflated[:, :, frames // 2] = values
    return inflated


def _prefix(names, first, last):
    prefixes = [name[: -len(first)] for name in names if name == first or name.endswith(f".{first}")]
    return min((prefix for prefix in prefixes if prefix + last in names), key=len, default="")


def _is_head(name):
    return any(part in _HEADS for part in name.split("."))


def _head_name(tensors):
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


def _listed(words, separator=", "):
    rest = len(words) - _NAMED
    return separator.join(words[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
