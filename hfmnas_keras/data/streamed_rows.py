"""Rows of a split that stay in the host's memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.batch_order import BatchOrder
from hfmnas_keras.data.device_rows import DeviceRows
from hfmnas_keras.data.feature_set import FeatureSet

_BATCHES_AHEAD = 4


class StreamedRows(DeviceRows):
    """Features and labels of one split in the host's memory; batches come to the device by tf.data, ahead of need.

    The same rows in the same order as of `DeviceRows`, so that all that is computed from them is the same too.

    Args:
        rows: `FeatureSet`.
        names: names of the inputs to keep: features, and `"tokens"`.

    Raises:
        ValueError: when a name is missing.
    """

    def __init__(self, rows: FeatureSet, names: tuple[str, ...]):
        with tf.device("CPU:0"):
            super().__init__(rows, names)
        self._ahead: Iterator[Any] = iter(())
        self._next: Any = None

    def follow(self, order: BatchOrder, first: int) -> None:
        # One of its own: the stream is ahead, in another thread.
        order = BatchOrder(order.num_rows, order.batch_size, order.seed, order.stream)
        row_numbers = tf.data.Dataset.from_generator(
            lambda: map(order.batch, itertools.count(first)),
            output_signature=tf.TensorSpec([order.batch_size], tf.int32),
        )
        self._ahead = iter(row_numbers.map(lambda rows: (rows, self._gather(rows))).prefetch(_BATCHES_AHEAD))
        self._next = next(self._ahead)

    def fetch(self, row_numbers: np.ndarray) -> Any:
        # What was followed is what is asked for, but for a second look at a batch (`second_order`) and whole splits.
        if self._next is not None and np.array_equal(self._next[0], row_numbers):
            fetched = self._next[1]
            self._next = next(self._ahead)
            return fetched
        with tf.device("CPU:0"):
            return self._gather(tf.constant(row_numbers))

    def signature(self, batch_size: int | None) -> Any:
        def spec(tensor: Any) -> Any:
            return tf.TensorSpec([batch_size, *tensor.shape[1:]], tensor.dtype)

        return {name: spec(tensor) for name, tensor in self.inputs.items()}, spec(self.labels)

    def batch(self, fetched: Any) -> tuple[dict[str, Any], Any]:
        return fetched

    def batches(self, row_numbers: np.ndarray) -> Iterator[tuple[dict[str, Any], Any]]:
        dataset = tf.data.Dataset.from_tensor_slices(row_numbers)
        return iter(dataset.map(self._gather).prefetch(_BATCHES_AHEAD))


def feature_rows(rows: FeatureSet, names: tuple[str, ...], device_bytes: int) -> DeviceRows:
    """The rows on the device where their inputs take no more than `device_bytes` there, else streamed to it."""
    inputs = rows.inputs()
    size = sum(inputs[name].nbytes for name in names if name in inputs)
    return DeviceRows(rows, names) if size <= device_bytes else StreamedRows(rows, names)
