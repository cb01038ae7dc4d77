"""Names of classes to a mark for each class."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def class_marks(labels: tf.Tensor, classes: Sequence[str]) -> tf.Tensor:
    """Marks the classes of each row, `(batch, classes)`, by comparing: an export would have to track a table.

    Args:
        labels: string tensor `(batch, labels)`, filled up with empty strings.
        classes: sequence of str, none of them empty.
    """
    names = tf.constant([name.encode("utf-8") for name in classes])
    # (batch, labels, classes)
    is_class = tf.equal(tf.expand_dims(labels, -1), names)
    return tf.ensure_shape(tf.cast(tf.reduce_any(is_class, axis=1), tf.float32), [None, len(classes)])


def class_ids(marks: tf.Tensor) -> tf.Tensor:
    """The class of each row by its marks, int64 `(batch, 1)`; -1 for a row without any."""
    known = tf.reduce_max(marks, axis=1) > 0
    ids = tf.where(known, tf.argmax(marks, axis=1, output_type=tf.int64), tf.constant(-1, tf.int64))
    return tf.reshape(ids, [-1, 1])
