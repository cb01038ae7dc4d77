"""From the states of a text's tokens to one vector."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class TokenPool(keras.layers.Layer):
    """Mean of the states of the tokens that are no padding, or the first token's state.

    A text that is all padding gives zeros as its mean.

    Args:
        pooling: str. `"mean"` or `"first"`, where BERT has `[CLS]`. Defaults to `"mean"`.

    Call arguments:
        inputs: pair of a float tensor `(batch, tokens, channels)` and an int tensor `(batch, tokens)`, 0 being padding.

    Returns:
        Tensor `(batch, channels)`.
    """

    multiply_accumulates = no_products

    def __init__(self, pooling: str = "mean", **kwargs: Any):
        super().__init__(**kwargs)
        if pooling not in ("mean", "first"):
            raise ValueError(f'`pooling` must be "mean" or "first". Received: {pooling!r}.')
        self.pooling = pooling

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Any:
        states, tokens = inputs
        if self.pooling == "first":
            return states[:, 0]
        # Half precision could neither count nor add up a long text.
        known = ops.cast(ops.not_equal(tokens, 0), "float32")
        total = ops.sum(ops.cast(states, "float32") * known[..., None], axis=1)
        return ops.cast(total / ops.maximum(ops.sum(known, axis=1, keepdims=True), 1.0), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"pooling": self.pooling})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        states, tokens = input_shape
        if len(states) != 3 or len(tokens) != 2:
            raise ValueError(f"`TokenPool` needs states of tokens and the tokens. Received shapes: {input_shape}.")
        return (states[0], states[2])
