"""The weighted sum in the centre of CentralNet."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class CentralFusion(keras.layers.Layer):
    """Sum of equally wide hidden layers, each times a trainable number, 1 at the start.

    h = sum over k of alpha_k h_k, over the modalities and, from the second level on, the central layer below.

    Call arguments:
        inputs: list of tensors of equal shape `(batch, width)`.

    Returns:
        Tensor of shape `(batch, width)`.

    Reference:
     - [Vielzeuf et al., 2018, Eq. 1](https://arxiv.org/abs/1808.07275)
    """

    def build(self, input_shape: Any) -> None:
        if len({tuple(shape) for shape in input_shape}) != 1:
            raise ValueError(f"`CentralFusion` needs inputs of equal shape. Received: {input_shape}.")
        self.alpha = self.add_weight(shape=(len(input_shape),), initializer="ones", name="alpha")

    def call(self, inputs: Any) -> Any:
        return ops.einsum("k,kbc->bc", self.alpha, ops.stack(inputs))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0])

    def multiply_accumulates(self, shapes: Any) -> int:
        return len(shapes) * math.prod(shapes[0])
