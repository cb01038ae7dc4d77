from __future__ import annotations

from typing import Any

import keras

from hfmnas_keras.cost.layer_rules import multiply_accumulates
from hfmnas_keras.edge_operations.edge_operation_base import EdgeOperation
from hfmnas_keras.layers.normalization import batch_normalization
from hfmnas_keras.layers.positions import per_position


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class LinearActivation(EdgeOperation):
    """Dense over the channels of each position, activation, batch normalisation, dropout.

    `linear_relu`, `linear_sigmoid`, `linear_tanh` and `linear_elu` in HF-MNAS, Eq. 10.

    Weights: `dense/kernel (channels, channels)` (in, out), `dense/bias (channels,)`, `normalization`.

    Args:
        channels, affine: see `EdgeOperation`.
        activation: str. Name of a Keras activation. Defaults to `"relu"`.
        dropout: float. Rate after the normalisation. Defaults to `0.1`.

    Call arguments:
        inputs: tensor of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Example:
    >>> tuple(LinearActivation(channels=8, activation="tanh")(np.ones((2, 4, 4, 8))).shape)
    (2, 4, 4, 8)
    """

    def __init__(
        self, channels: int, activation: str = "relu", dropout: float = 0.1, affine: bool = True, **kwargs: Any
    ):
        super().__init__(channels=channels, affine=affine, **kwargs)
        self.activation = keras.activations.get(activation)
        self.dropout = dropout

    def build_operation(self, height: Any, width: Any) -> None:
        self.dense = keras.layers.Dense(
            self.channels, activation=self.activation, dtype=self.dtype_policy, name="dense"
        )
        self.dense.build((None, self.channels))
        self.normalization = batch_normalization(self.affine, self.dtype_policy, "normalization")
        self.normalization.build((None, height, width, self.channels))
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="dropout")
        self.dropout_layer.build((None, height, width, self.channels))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = self.normalization(per_position(self.dense, inputs), training=training)
        return self.dropout_layer(outputs, training=training)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "dropout": self.dropout,
        }

    def multiply_accumulates(self, shape: Any) -> int:
        return multiply_accumulates(self.dense, shape)
