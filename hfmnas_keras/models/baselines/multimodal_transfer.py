"""The multimodal transfer module (MMTM)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class MultimodalTransfer(keras.layers.Layer):
    """Lets each modality reweigh the channels of the other.

    With s1, s2 the means over positions: z = ReLU(W [s1; s2] + b), of (C1 + C2) / `reduction` units, and each input
    times 2 sigmoid(Wi z + bi), channel by channel. (The paper prints z without the ReLU and with it in its figure;
    public code has it.)

    Args:
        reduction: float. Defaults to `4`, the paper's.

    Call arguments:
        inputs: pair of tensors `(batch, channels)` or `(batch, height, width, channels)`; their shapes may differ.

    Returns:
        List of two tensors with the inputs' shapes.

    Reference:
     - [Joze et al., 2020, Eq. 2-6](https://arxiv.org/abs/1911.08670)
    """

    def __init__(self, reduction: int = 4, **kwargs: Any):
        super().__init__(**kwargs)
        if reduction <= 0:
            raise ValueError(f"`reduction` must be above 0. Received: {reduction}.")
        self.reduction = reduction

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 2 or any(len(shape) not in (2, 4) for shape in input_shape):
            raise ValueError(f"`MultimodalTransfer` needs two vectors or maps. Received shapes: {input_shape}.")
        widths = [shape[-1] for shape in input_shape]
        units = max(1, int(sum(widths) / self.reduction))
        self.squeeze = keras.layers.Dense(units, activation="relu", dtype=self.dtype_policy, name="squeeze")
        self.squeeze.build((None, sum(widths)))
        self.excitations = []
        for number, width in enumerate(widths, start=1):
            excitation = keras.layers.Dense(
                width, activation="sigmoid", dtype=self.dtype_policy, name=f"excitation_{number}"
            )
            excitation.build((None, units))
            self.excitations.append(excitation)

    def call(self, inputs: Any) -> Any:
        means = [ops.mean(tensor, axis=(1, 2)) if len(tensor.shape) == 4 else tensor for tensor in inputs]
        joint = self.squeeze(ops.concatenate(means, axis=-1))
        outputs = []
        for tensor, excitation in zip(inputs, self.excitations, strict=True):
            gate = 2.0 * excitation(joint)
            outputs.append(tensor * (gate[:, None, None, :] if len(tensor.shape) == 4 else gate))
        return outputs

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"reduction": self.reduction})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return [tuple(shape) for shape in input_shape]

    def multiply_accumulates(self, shapes: Any) -> int:
        squeeze = multiply_accumulates(self.squeeze, (shapes[0][-1] + shapes[1][-1],))
        return squeeze + sum(multiply_accumulates(own, (self.squeeze.units,)) for own in self.excitations)
