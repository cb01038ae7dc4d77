"""Pictures to PNG of the backbone's size."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from components.transform.raw_features import as_dense
from hfmnas_keras.preparation.pictures import resized_pictures


def prepare_images(image: tf.Tensor, image_size: Sequence[int], interpolation: str = "bilinear") -> tf.Tensor:
    """Decodes, resizes and encodes again; to `(batch, 1)`."""
    return tf.reshape(resized_pictures(tf.reshape(as_dense(image), [-1]), image_size, interpolation), [-1, 1])
