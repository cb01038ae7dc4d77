"""Where the tensors of a published network go in one of ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

_NAMED = 5


@dataclasses.dataclass(frozen=True)
class TensorPlace:
    """A tensor's published name, the weight it becomes, and how.

    Args:
        name: str. The tensor's name in the published file.
        variable: the `keras.Variable`.
        arrange: function from the published array to one of the variable's shape; `None` where its rank is wrong.
            Defaults to leaving the array as it is.
    """

    name: str
    variable: Any
    arrange: Callable[[np.ndarray], np.ndarray | None] = lambda values: values


def fill_places(
    network: str,
    places: Sequence[TensorPlace],
    tensors: Mapping[str, np.ndarray],
    cure: str,
    ignored: Container[str] = (),
) -> None:
    """Sets weights from tensors, after all of them have been checked.

    Args:
        network: str. Name of our network, for the error.
        places: `TensorPlace`s, one for each weight to set.
        tensors: mapping from published names to arrays.
        cure: str. What to do about tensors that do not fit; a sentence.
        ignored: names that have no place and need none. Counts of batches (`.num_batches_tracked`) need none either.

    Raises:
        ValueError: when tensors are missing, unknown, of another shape, or hold NaN or infinity.
    """
    known = {place.name for place in places}
    unknown = [
        name
        for name in tensors
        if name not in known and name not in ignored and not name.endswith("num_batches_tracked")
    ]
    missing = [place.name for place in places if place.name not in tensors]
    problems = []
    if missing:
        problems.append(f"missing: {listed(missing)}")
    if unknown:
        problems.append(f"unknown: {listed(unknown)}")
    values = []
    for place in places:
        if place.name not in tensors:
            continue
        value = place.arrange(tensors[place.name])
        if value is None or value.shape != tuple(place.variable.shape):
            received = tuple(tensors[place.name].shape)
            problems.append(f"{place.name} has shape {received}, where {place.variable.path} is {place.variable.shape}")
        elif not np.isfinite(value).all():
            problems.append(f"{place.name} holds NaN or infinity")
        else:
            values.append((place.variable, value))
    if problems:
        raise ValueError(f"The published weights do not fit `{network}`: {listed(problems, '; ')}. {cure}")
    for variable, value in values:
        variable.assign(value)


def convolution_places(name: str, layer: keras.Layer) -> Iterator[TensorPlace]:
    """Kernel and bias of a convolution, of any number of dimensions; a depthwise one too."""
    # From filters, channels and sides. A depthwise kernel has one channel, which is its multiplier here.
    ends = (-2, -1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (-1, -2)
    yield TensorPlace(
        f"{name}.weight",
        layer.kernel,
        lambda kernel: np.moveaxis(kernel, (0, 1), ends) if kernel.ndim > 2 else None,
    )
    if getattr(layer, "use_bias", False):
        yield TensorPlace(f"{name}.bias", layer.bias)


def normalization_places(name: str, layer: keras.Layer) -> Iterator[TensorPlace]:
    """Scale, offset and statistics of a batch normalisation, or scale and offset of a layer normalisation."""
    yield TensorPlace(f"{name}.weight", layer.gamma)
    yield TensorPlace(f"{name}.bias", layer.beta)
    if hasattr(layer, "moving_mean"):
        yield TensorPlace(f"{name}.running_mean", layer.moving_mean)
        yield TensorPlace(f"{name}.running_var", layer.moving_variance)


def linear_places(name: str, layer: keras.Layer, channels: int | None = None) -> Iterator[TensorPlace]:
    """Matrix and bias of a dense layer; of one that reads a flattened map if `channels` are given."""

    def arrange(matrix: Any) -> Any:
        if matrix.ndim != 2:
            return None
        if channels is not None and matrix.shape[1] % channels == 0:
            # There channel by channel, here position by position.
            by_channel = matrix.reshape(len(matrix), channels, -1)
            matrix = by_channel.transpose(0, 2, 1).reshape(matrix.shape)
        return matrix.T

    yield TensorPlace(f"{name}.weight", layer.kernel, arrange)
    yield TensorPlace(f"{name}.bias", layer.bias)


def einsum_places(name: str, layer: keras.layers.EinsumDense) -> Iterator[TensorPlace]:
    """Matrix and bias of a dense layer whose inputs or outputs are parted by heads, as in attention."""

    def reshaped(values: Any, variable: Any) -> Any:
        return values.reshape(variable.shape) if values.size == np.prod(variable.shape) else None

    yield TensorPlace(f"{name}.weight", layer.kernel, lambda matrix: reshaped(matrix.T, layer.kernel))
    yield TensorPlace(f"{name}.bias", layer.bias, lambda bias: reshaped(bias, layer.bias))


def listed(words: Sequence[str], separator: str = ", ") -> str:
    """The first five of some words, and how many more there are."""
    rest = len(words) - _NAMED
    return separator.join(words[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
