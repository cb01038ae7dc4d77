"""The co-occurrence network on skeletons."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates

# Filters of the second convolution, which become one side of the maps when the joints become channels; four poolings
# halve it, so that it does not shrink with the width.
_COLUMNS = 32
POOLINGS = 4


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class CooccurrenceNetwork(keras.layers.Layer):
    """Features of skeletons, learned over all joints at once: HCN without its classifier (docs/method.md, section 3).

    Positions and their motion pass two streams of equal form: convolutions along time on each joint, then the joints
    become channels, so that the next convolutions see all of them. Both streams are joined; bodies share all weights
    and meet by maximum.

    Args:
        width: float. Share of the published filters. Defaults to `1`.
        dropout: float. Rate at which whole maps are dropped. Defaults to `0.5`.

    Call arguments:
        inputs: tensor `(batch, frames, bodies, joints, coordinates)` with at least 16 frames.
        training: bool. Whether maps are dropped. Defaults to `False`.

    Returns:
        dict of tensors, at `width=1` and 32 frames `conv5` `(batch, 4, 4, 128)`, `conv6` `(batch, 2, 2, 256)`,
        `flattened` `(batch, 1024)` and `fc7` `(batch, 512)`.

    Raises:
        ValueError: for an input of another rank or fewer frames.

    Reference:
     - [Li et al., 2018](https://arxiv.org/abs/1804.06055)
    """

    def __init__(self, width: Any = 1.0, dropout: float = 0.5, **kwargs: Any):
        super().__init__(**kwargs)
        if width <= 0 or not 0 <= dropout < 1:
            raise ValueError(
                f"`width` must be above 0 and `dropout` in [0, 1). Received: width={width}, dropout={dropout}."
            )
        self.width = width
        self.dropout = dropout

    def build(self, input_shape: Any) -> None:
        self._check(input_shape)
        _, frames, _, joints, coordinates = input_shape
        self.motion_matrix = _motion_matrix(frames)
        # Flat lists and plain names: what a `.keras` file keeps apart.
        for stream in ("", "m"):
            shape = (None, frames, joints, coordinates)
            shape = self._add_convolution(f"conv1{stream}", self._filters(64), (1, 1), shape, relu=True)
            self._add_convolution(f"conv2{stream}", _COLUMNS, (3, 1), shape)
            shape = (None, frames, _COLUMNS, joints)
            shape = _halved(self._add_convolution(f"conv3{stream}", self._filters(32), (3, 3), shape))
            shape = _halved(self._add_convolution(f"conv4{stream}", self._filters(64), (3, 3), shape))
        shape = (*shape[:-1], 2 * shape[-1])
        shape = _halved(self._add_convolution("conv5", self._filters(128), (3, 3), shape, relu=True))
        shape = _halved(self._add_convolution("conv6", self._filters(256), (3, 3), shape, relu=True))
        self.pool = keras.layers.MaxPooling2D(2, dtype=self.dtype_policy, name="pool")
        self.pool.build((None, frames, _COLUMNS, joints))
        self.map_dropout = keras.layers.SpatialDropout2D(self.dropout, dtype=self.dtype_policy, name="map_dropout")
        self.map_dropout.build(shape)
        self.fc7 = keras.layers.Dense(self._filters(512), activation="relu", dtype=self.dtype_policy, name="fc7")
        self.fc7.build((None, shape[1] * shape[2] * shape[3]))
        # Keras tells only the layers that are there when `trainable` is set; these have come since.
        for layer in self._flatten_layers(include_self=False):
            layer.trainable = self.trainable

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        # Frozen, it is in inference mode, like a frozen batch normalisation.
        training = training and self.trainable
        frames, bodies, joints, coordinates = inputs.shape[1:]
        # (batch * bodies, frames, joints, coordinates)
        positions = ops.reshape(ops.transpose(inputs, (0, 2, 1, 3, 4)), (-1, frames, joints, coordinates))
        motion = ops.einsum("st,btjc->bsjc", ops.cast(self.motion_matrix, positions.dtype), positions)
        streams = [self._stream(positions, "", training), self._stream(motion, "m", training)]
        hidden = ops.concatenate(streams, axis=-1)
        conv5 = self.pool(self.map_dropout(self.conv5(hidden), training=training))
        conv6 = self.pool(self.map_dropout(self.conv6(conv5), training=training))
        conv5, conv6 = (ops.max(ops.reshape(maps, (-1, bodies, *maps.shape[1:])), axis=1) for maps in (conv5, conv6))
        flattened = ops.reshape(conv6, (-1, conv6.shape[1] * conv6.shape[2] * conv6.shape[3]))
        return {"conv5": conv5, "conv6": conv6, "flattened": flattened, "fc7": self.fc7(flattened)}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"width": self.width, "dropout": self.dropout})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        self._check(input_shape)
        sides = [(input_shape[1] // 2**times, _COLUMNS // 2**times) for times in (POOLINGS - 1, POOLINGS)]
        conv5, conv6 = (
            (input_shape[0], *side, self._filters(filters)) for side, filters in zip(sides, (128, 256), strict=True)
        )
        return {
            "conv5": conv5,
            "conv6": conv6,
            "flattened": (input_shape[0], conv6[1] * conv6[2] * conv6[3]),
            "fc7": (input_shape[0], self._filters(512)),
        }

    def multiply_accumulates(self, shape: Any) -> int:
        frames, bodies, joints, coordinates = shape
        motion = frames * frames * joints * coordinates
        streams = 0
        for stream in ("", "m"):
            conv1, conv2, conv3, conv4 = (getattr(self, f"conv{number}{stream}") for number in (1, 2, 3, 4))
            streams += multiply_accumulates(conv1, (frames, joints, coordinates))
            streams += multiply_accumulates(conv2, (frames, joints, conv1.filters))
            # The joints become channels.
            maps = (frames, conv2.filters, joints)
            for convolution in (conv3, conv4):
                streams += multiply_accumulates(convolution, maps)
                maps = (maps[0] // 2, maps[1] // 2, convolution.filters)
        maps = (*maps[:2], 2 * maps[2])
        merged = 0
        for convolution in (self.conv5, self.conv6):
            merged += multiply_accumulates(convolution, maps)
            maps = (maps[0] // 2, maps[1] // 2, convolution.filters)
        return bodies * (motion + streams + merged) + multiply_accumulates(self.fc7, (math.prod(maps),))

    def _stream(self, hidden: Any, stream: Any, training: bool | None) -> Any:
        hidden = getattr(self, f"conv2{stream}")(getattr(self, f"conv1{stream}")(hidden))
        # (batch * bodies, frames, columns, joints)
        hidden = ops.transpose(hidden, (0, 1, 3, 2))
        hidden = self.pool(getattr(self, f"conv3{stream}")(hidden))
        return self.pool(self.map_dropout(getattr(self, f"conv4{stream}")(hidden), training=training))

    def _add_convolution(self, name: str, filters: int, kernel_size: Any, input_shape: Any, relu: bool = False) -> Any:
        layer = keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            activation="relu" if relu else None,
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build(input_shape)
        setattr(self, name, layer)
        return (*input_shape[:-1], layer.filters)

    def _filters(self, filters: int) -> Any:
        return max(1, round(filters * self.width))

    def _check(self, shape: Any) -> None:
        if len(shape) != 5 or None in shape[1:] or shape[1] < 2**POOLINGS:
            raise ValueError(
                f"`CooccurrenceNetwork` needs (batch, at least {2**POOLINGS} frames, bodies, joints, coordinates). "
                f"Received: {tuple(shape)}."
            )


def _halved(shape: Any) -> Any:
    return (shape[0], shape[1] // 2, shape[2] // 2, shape[3])


def _motion_matrix(frames: Any) -> Any:
    """Differences of neighbouring frames, stretched to as many frames by linear interpolation: one matrix."""
    places = np.clip((np.arange(frames) + 0.5) * (frames - 1) / frames - 0.5, 0, frames - 2)
    below = np.floor(places).astype("int64")
    above = np.minimum(below + 1, frames - 2)
    share = places - below
    rows = np.arange(frames)
    stretching = np.zeros((frames, frames - 1))
    np.add.at(stretching, (rows, below), 1 - share)
    np.add.at(stretching, (rows, above), share)
    return (stretching @ np.diff(np.eye(frames), axis=0)).astype("float32")
