"""The maxout layer of the text backbone."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class Maxout(keras.layers.Layer):
    """The largest of several linear maps of the input, unit by unit (HF-MNAS, Eq. 8).

    Args:
        units: int. Width of the output.
        pieces: int. Linear maps that compete for a unit. Defaults to `5`.

    Call arguments:
        inputs: tensor `(batch, ..., width)`.

    Returns:
        Tensor `(batch, ..., units)`.

    Reference:
     - [Goodfellow et al., 2013](https://arxiv.org/abs/1302.4389)
    """

    def __init__(self, units: int, pieces: int = 5, **kwargs: Any):
        super().__init__(**kwargs)
        if units < 1 or pieces < 1:
            raise ValueError(f"`units` and `pieces` must be at least 1. Received: units={units}, pieces={pieces}.")
        self.units = units
        self.pieces = pieces

    def build(self, input_shape: Any) -> None:
        self.linear = keras.layers.Dense(self.units * self.pieces, dtype=self.dtype_policy, name="linear")
        self.linear.build(input_shape)

    def call(self, inputs: Any) -> Any:
        # Unit u competes among columns u, u + units, u + 2 * units, ...: the order of TensorFlow Addons' Maxout.
        # (batch, ..., pieces, units)
        linear = self.linear(inputs)
        pieces = ops.reshape(linear, (*ops.shape(linear)[:-1], self.pieces, self.units))
        return ops.max(pieces, axis=-2)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"units": self.units, "pieces": self.pieces})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)

    def multiply_accumulates(self, shape: Any) -> int:
        return multiply_accumulates(self.linear, shape)
