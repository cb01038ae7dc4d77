"""Names of classes to a mark for each class."""

from __future__ import annotations

import tensorflow as tf

from components.transform.raw_features import as_dense


def multi_hot(labels: tf.Tensor | tf.SparseTensor, classes: list[str]) -> tf.Tensor:
    """Marks the classes of each row, `(batch, classes)`, by comparing: an export would have to track a table."""
    names = tf.constant([name.encode("utf-8") for name in classes])
    # (batch, labels, classes)
    is_class = tf.equal(tf.expand_dims(as_dense(labels), -1), names)
    # An empty class name is refused in the ingest, so that the padding of sparse labels matches none.
    return tf.ensure_shape(tf.cast(tf.reduce_any(is_class, axis=1), tf.float32), [None, len(classes)])
