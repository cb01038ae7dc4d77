"""Raw features as tensors that are easy to work with, dense or sparse as they come."""

from __future__ import annotations

import tensorflow as tf


def as_dense(feature: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    """The feature as a dense tensor."""
    return tf.sparse.to_dense(feature) if isinstance(feature, tf.SparseTensor) else feature


def as_ragged(feature: tf.Tensor | tf.SparseTensor) -> tf.RaggedTensor:
    """The values of each row, `(batch, values)`."""
    if isinstance(feature, tf.SparseTensor):
        return tf.RaggedTensor.from_sparse(feature)
    return tf.RaggedTensor.from_tensor(tf.reshape(feature, [tf.shape(feature)[0], -1]))
