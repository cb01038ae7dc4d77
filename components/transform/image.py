"""Pictures to PNG of the backbone's size."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from components.transform.raw_features import as_dense
from hfmnas_keras.data.picture_decoding import each_picture


def prepare_images(image: tf.Tensor, image_size: Sequence[int], interpolation: str = "bilinear") -> tf.Tensor:
    """Decodes, resizes and encodes again; to `(batch, 1)`."""

    def resize_one(image: tf.Tensor) -> tf.Tensor:
        image = tf.image.resize(image, tuple(image_size), method=interpolation, antialias=True)
        return tf.io.encode_png(tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8))

    return tf.reshape(each_picture(tf.reshape(as_dense(image), [-1]), resize_one), [-1, 1])
