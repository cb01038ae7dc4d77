from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.edge_operations.pool import Pool


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class MaxPool(Pool):
    """The largest of each 3x3 neighbourhood, then batch normalisation (`max_pool_3x3` in HF-MNAS, Eq. 10).

    Padding never wins. Arguments, shapes and weights are those of `Pool`.

    Example:
    >>> tuple(MaxPool(channels=8)(np.ones((2, 4, 4, 8))).shape)
    (2, 4, 4, 8)
    """

    def pooled(self, inputs: Any) -> Any:
        return ops.max_pool(inputs, self.pool_size, strides=1, padding="same")
