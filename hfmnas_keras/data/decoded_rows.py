"""Rows that stay encoded in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


class DecodedRows:
    """Stands where an array of all rows would stand that is too large: rows are decoded when they are asked for.

    Args:
        encoded: array of bytes, `(rows, ...)`, at least one row.
        decode: function from a string tensor `(batch, ...)` to a tensor `(batch, *shape)`; every row has one shape.

    Raises:
        ValueError: when there is no row.

    Example:
    >>> rows = DecodedRows(examples.columns["video"], MODALITIES["video"].decode)
    >>> rows.shape, rows[[0, 7]].shape
    ((14416, 32, 112, 112, 3), (2, 32, 112, 112, 3))
    """

    def __init__(self, encoded: np.ndarray, decode: Callable[[tf.Tensor], tf.Tensor]):
        if not len(encoded):
            raise ValueError(f"`encoded` needs at least one row, which shows its shape. Received: {encoded.shape}.")
        self.encoded = encoded
        first = decode(tf.constant(encoded[:1], tf.string))
        self.shape = (len(encoded), *first.shape[1:])
        self.dtype = np.dtype(first.dtype.as_numpy_dtype)

        @tf.function(input_signature=[tf.TensorSpec([None, *encoded.shape[1:]], tf.string)])
        def decode_batch(batch: Any) -> Any:
            return tf.ensure_shape(decode(batch), (None, *self.shape[1:]))

        self._decode_batch = decode_batch

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """Decoded rows of a slice or of row numbers, `(number of rows, *shape)`."""
        encoded = self.encoded[rows]
        if not len(encoded):
            # A map over nothing has no shape.
            return np.empty((0, *self.shape[1:]), self.dtype)
        return self._decode_batch(tf.constant(encoded, tf.string)).numpy()

    def subset(self, rows: np.ndarray) -> DecodedRows:
        """Some of the rows, by their numbers."""
        part = copy.copy(self)
        part.encoded = self.encoded[rows]
        part.shape = (len(part.encoded), *self.shape[1:])
        return part

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows decoded."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize
