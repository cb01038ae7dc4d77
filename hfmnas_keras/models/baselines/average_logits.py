"""The mean of several predictions, as logits."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class AverageLogits(keras.layers.Layer):
    """Logits whose probabilities are the mean of the inputs' probabilities: late fusion by averaging.

    Args:
        multi_label: bool. Sigmoid of each logit instead of a softmax over all. Defaults to `False`.

    Call arguments:
        inputs: list of logits, each of shape `(batch, classes)`.

    Returns:
        Tensor of shape `(batch, classes)`: log p, or log p - log(1 - p) in multi-label sets, of the mean p.
    """

    multiply_accumulates = no_products

    def __init__(self, multi_label: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.multi_label = multi_label

    def call(self, inputs: Any) -> Any:
        # log of a mean of exponentials: no probability is rounded to 0 on the way.
        log_count = ops.log(ops.cast(len(inputs), inputs[0].dtype))
        stacked = ops.stack(inputs)
        if self.multi_label:
            log_yes = ops.logsumexp(-ops.softplus(-stacked), axis=0) - log_count
            log_no = ops.logsumexp(-ops.softplus(stacked), axis=0) - log_count
            return log_yes - log_no
        return ops.logsumexp(ops.log_softmax(stacked, axis=-1), axis=0) - log_count

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"multi_label": self.multi_label})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0])
