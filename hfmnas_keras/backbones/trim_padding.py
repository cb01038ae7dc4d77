"""Token ids without the padding that no text of a batch needs."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class TrimPadding(keras.layers.Layer):
    """Cuts a batch of token ids off behind its longest text: an encoder's time grows with the length.

    To whoever builds or counts a network the result has the input's shape, which is the longest that it can have.

    Call arguments:
        inputs: int tensor `(batch, tokens)`, 0 being padding.

    Returns:
        Int tensor `(batch, longest)`; one column is left of a batch that is all padding.
    """

    multiply_accumulates = no_products

    def call(self, inputs: Any) -> Any:
        is_used = ops.any(ops.not_equal(inputs, 0), axis=0)
        places = ops.cumsum(ops.ones_like(is_used, "int32"))
        return inputs[:, : ops.maximum(ops.max(ops.where(is_used, places, 0)), 1)]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs.shape, inputs.dtype)
