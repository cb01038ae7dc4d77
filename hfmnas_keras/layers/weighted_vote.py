"""The answer of several networks that vote."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products

# Past this a softmax or sigmoid has said all it can, and infinity would make the mean NaN.
_LARGEST_LOGIT = 1e6


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class WeightedVote(keras.layers.Layer):
    """Logits whose probabilities are the weighted mean of those of several networks.

    Computed in logarithms, so that a network which is sure overrules no other by a rounding.

    Args:
        votes: sequence of floats above 0, one a network. Only their shares count.
        multi_label: bool. Sigmoid instead of softmax. Defaults to `False`.

    Call arguments:
        inputs: list of logits, each `(batch, classes)`.

    Returns:
        float32 tensor `(batch, classes)`: of softmax the logarithms of the mean probabilities, of sigmoid the logits.

    Raises:
        ValueError: for votes that are not above 0, or another number of inputs.

    Example:
    >>> yes, no = WeightedVote([1, 3])([np.array([[0.0, 0.0]]), np.array([[9.0, -9.0]])])[0]
    >>> round(float(ops.exp(yes)), 3)
    0.875

    Reference:
     - [Caruana et al., 2004](https://doi.org/10.1145/1015330.1015432)
    """

    multiply_accumulates = no_products

    def __init__(self, votes: Any, multi_label: bool = False, **kwargs: Any):
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.votes = [float(count) for count in votes]
        self.multi_label = multi_label
        if not self.votes or min(self.votes) <= 0:
            raise ValueError(f"`votes` must be numbers above 0, one a network. Received: {votes}.")

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != len(self.votes):
            raise ValueError(
                f"`WeightedVote` has {len(self.votes)} votes and needs as many inputs. Received: {len(input_shape)}."
            )

    def call(self, inputs: Any) -> Any:
        # (networks, batch, classes)
        logits = ops.clip(ops.stack([ops.cast(x, "float32") for x in inputs]), -_LARGEST_LOGIT, _LARGEST_LOGIT)
        log_weights = ops.log(ops.reshape(ops.array(self.votes, "float32") / sum(self.votes), (-1, 1, 1)))
        if not self.multi_label:
            return ops.logsumexp(log_weights + ops.log_softmax(logits, axis=-1), axis=0)
        yes = ops.logsumexp(log_weights + ops.log_sigmoid(logits), axis=0)
        return yes - ops.logsumexp(log_weights + ops.log_sigmoid(-logits), axis=0)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"votes": self.votes, "multi_label": self.multi_label})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0])
