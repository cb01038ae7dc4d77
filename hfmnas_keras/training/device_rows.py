"""Rows of a split kept as tensors on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.feature_set import FeatureSet


class DeviceRows:
    """Features and labels of one split, put on the device once; a compiled step gathers its batch by row number.

    Args:
        rows: `FeatureSet`.
        names: names of the inputs to keep: features, and `"tokens"`.

    Raises:
        ValueError: when a name is missing.
    """

    def __init__(self, rows: FeatureSet, names: tuple[str, ...]):
        inputs = rows.inputs()
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ValueError(f"The rows have no {missing}. Received: {sorted(inputs)}. Extract these features first.")
        self.num_rows = rows.num_rows
        self.labels_array = np.asarray(rows.labels)
        self.inputs = {name: tf.constant(inputs[name]) for name in names}
        self.labels = tf.constant(self.labels_array)

    def batches(self, row_numbers: np.ndarray) -> Iterator[tuple[dict[str, Any], Any]]:
        """Inputs and labels for each row of `(steps, batch)` row numbers."""
        for numbers in row_numbers:
            yield self.batch(tf.constant(numbers))

    def outputs(self, predict: Callable[[np.ndarray], Any], batch_size: int = 256) -> np.ndarray:
        """What a compiled function of row numbers gives for all rows, `(rows, ...)`, in batches of one size."""
        size = min(batch_size, self.num_rows)
        padded = np.resize(np.arange(self.num_rows, dtype="int32"), (-(-self.num_rows // size), size))
        return np.concatenate([np.asarray(predict(numbers)) for numbers in padded])[: self.num_rows]

    def batch(self, row_numbers: tf.Tensor) -> tuple[dict[str, Any], Any]:
        """Inputs by name and labels of the rows."""
        inputs = {name: tf.gather(tensor, row_numbers) for name, tensor in self.inputs.items()}
        return inputs, tf.gather(self.labels, row_numbers)
