from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products
from hfmnas_keras.edge_operations.edge_operation_base import EdgeOperation


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class Zero(EdgeOperation):
    """Cuts the edge: zeros, whatever comes in (`none` in HF-MNAS, Eq. 10). No weights.

    Arguments and shapes are those of `EdgeOperation`.

    Example:
    >>> float(Zero(channels=8)(np.ones((2, 4, 4, 8))).numpy().max())
    0.0
    """

    has_weights = False
    multiply_accumulates = no_products

    def call(self, inputs: Any) -> Any:
        return ops.zeros_like(inputs)
