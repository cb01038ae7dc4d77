"""The gated multimodal unit (GMU)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class GatedMultimodalUnit(keras.layers.Layer):
    """Mixes two modalities by a gate that looks at both.

    h1 = tanh(W1 x1), h2 = tanh(W2 x2), z = sigmoid(Wz [x1; x2]), h = z h1 + (1 - z) h2; no biases, as printed.

    Args:
        units: int. Width of h.

    Call arguments:
        inputs: pair of tensors `(batch, any width)`.

    Returns:
        Tensor of shape `(batch, units)`.

    Reference:
     - [Arevalo et al., 2017, section 3.1](https://arxiv.org/abs/1702.01992)
    """

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(**kwargs)
        if units < 1:
            raise ValueError(f"`units` must be at least 1. Received: {units}.")
        self.units = units

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 2 or any(len(shape) != 2 for shape in input_shape):
            raise ValueError(f"`GatedMultimodalUnit` needs two inputs (batch, width). Received: {input_shape}.")
        self.hidden_layers = []
        for number, shape in enumerate(input_shape, start=1):
            hidden = keras.layers.Dense(
                self.units, activation="tanh", use_bias=False, dtype=self.dtype_policy, name=f"hidden_{number}"
            )
            hidden.build(shape)
            self.hidden_layers.append(hidden)
        self.gate = keras.layers.Dense(
            self.units, activation="sigmoid", use_bias=False, dtype=self.dtype_policy, name="gate"
        )
        self.gate.build((None, input_shape[0][-1] + input_shape[1][-1]))

    def call(self, inputs: Any) -> Any:
        first, second = (layer(tensor) for layer, tensor in zip(self.hidden_layers, inputs, strict=True))
        gate = self.gate(ops.concatenate(inputs, axis=-1))
        return gate * first + (1.0 - gate) * second

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"units": self.units})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0][0], self.units)

    def multiply_accumulates(self, shapes: Any) -> int:
        hidden = sum(multiply_accumulates(own, shape) for own, shape in zip(self.hidden_layers, shapes, strict=True))
        return hidden + multiply_accumulates(self.gate, (shapes[0][-1] + shapes[1][-1],))
