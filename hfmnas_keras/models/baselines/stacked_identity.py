"""Initial weights of a classifier on stacked scores."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class StackedIdentity(keras.initializers.Initializer):
    """Starts a classifier on stacked scores as their sum, class by class.

    Raises:
        ValueError: for a shape other than `(n * classes, classes)`.

    Example:
    >>> np.array(StackedIdentity()((4, 2))).tolist()
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    """

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        if len(shape) != 2 or shape[0] % shape[1]:
            raise ValueError(f"`StackedIdentity` needs a shape (n * classes, classes). Received: {tuple(shape)}.")
        kernel = np.tile(np.eye(shape[1]), (shape[0] // shape[1], 1))
        return ops.convert_to_tensor(kernel, dtype=dtype or keras.config.floatx())
