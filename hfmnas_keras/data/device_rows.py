"""Rows of a split kept as tensors on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.batch_order import BatchOrder
from hfmnas_keras.data.feature_set import FeatureSet


class DeviceRows:
    """Features and labels of one split, put on the device once; a compiled step gathers its batch by row number.

    What `fetch` returns goes into a compiled function, which has the batch by `batch`: here the row numbers alone cross
    over. `StreamedRows` is the other way.

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

    def follow(self, order: BatchOrder, first: int) -> None:
        """Tells which batches will be fetched: those of `order`, from number `first`."""

    def fetch(self, row_numbers: np.ndarray) -> Any:
        """What a compiled function needs to have the batch of these rows."""
        return tf.constant(row_numbers)

    def signature(self, batch_size: int | None) -> Any:
        """The structure of `tf.TensorSpec`s of what `fetch` returns; `None` for batches of any size."""
        return tf.TensorSpec([batch_size], tf.int32)

    def batch(self, fetched: Any) -> tuple[dict[str, Any], Any]:
        """Inputs by name and labels, of what `fetch` returned."""
        return self._gather(fetched)

    def batches(self, row_numbers: np.ndarray) -> Iterator[tuple[dict[str, Any], Any]]:
        """Inputs and labels for each row of `(steps, batch)` row numbers."""
        for numbers in row_numbers:
            yield self.batch(self.fetch(numbers))

    def outputs(self, predict: Callable[[Any], Any], batch_size: int = 256) -> np.ndarray:
        """What a compiled function of fetched rows gives for all rows, `(rows, ...)`, in batches of one size."""
        size = min(batch_size, self.num_rows)
        padded = np.resize(np.arange(self.num_rows, dtype="int32"), (-(-self.num_rows // size), size))
        return np.concatenate([np.asarray(predict(self.fetch(numbers))) for numbers in padded])[: self.num_rows]

    def _gather(self, row_numbers: tf.Tensor) -> tuple[dict[str, Any], Any]:
        inputs = {name: tf.gather(tensor, row_numbers) for name, tensor in self.inputs.items()}
        return inputs, tf.gather(self.labels, row_numbers)
