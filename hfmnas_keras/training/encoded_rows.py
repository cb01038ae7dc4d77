"""Rows whose pictures are decoded while a model trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.transformed_examples import TransformedExamples, decode_image


class EncodedRows:
    """Batches of raw inputs, decoded ahead of the step that reads them.

    Args:
        rows: `TransformedExamples`.
    """

    def __init__(self, rows: TransformedExamples):
        self.num_rows = rows.num_rows
        self.labels_array = np.asarray(rows.labels)
        self._image_shape = rows.image_shape
        self._encoded_images = tf.constant(rows.encoded_images)
        self._tokens = tf.constant(rows.tokens)
        self._labels = tf.constant(self.labels_array)

    def batches(self, row_numbers: np.ndarray) -> Iterator[tuple[dict[str, Any], Any]]:
        """Inputs `image` (float32, 0 to 255) and `tokens`, and labels, for each row of `(steps, batch)` numbers."""
        dataset = tf.data.Dataset.from_tensor_slices(np.asarray(row_numbers, "int64"))
        dataset = dataset.map(self._batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return iter(dataset.prefetch(2))

    def _batch(self, row_numbers: tf.Tensor) -> tuple[dict[str, Any], Any]:
        images = tf.map_fn(decode_image, tf.gather(self._encoded_images, row_numbers), fn_output_signature=tf.uint8)
        images = tf.ensure_shape(images, (row_numbers.shape[0], *self._image_shape))
        inputs = {"image": tf.cast(images, tf.float32), "tokens": tf.gather(self._tokens, row_numbers)}
        return inputs, tf.gather(self._labels, row_numbers)
