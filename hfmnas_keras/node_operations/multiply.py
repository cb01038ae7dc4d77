from __future__ import annotations

from typing import Any

import keras

from hfmnas_keras.cost.layer_rules import no_products
from hfmnas_keras.node_operations.node_operation_base import NodeOperation


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class Multiply(NodeOperation):
    """Multiplies the two grids element by element: x1 * x2 (`multiply` in HF-MNAS, Eq. 11-23).

    No weights but those of `normalization`. Arguments and shapes are those of `NodeOperation`.

    Example:
    >>> tuple(Multiply(channels=8)([np.ones((2, 4, 4, 8))] * 2).shape)
    (2, 4, 4, 8)
    """

    multiply_accumulates = no_products

    def fuse(self, first: Any, second: Any, training: bool | None = None) -> Any:
        return first * second
