"""Pictures to PNG of the backbone's size."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from hfmnas_keras.data.picture_decoding import each_picture


def resized_pictures(encoded: tf.Tensor, image_size: Sequence[int], interpolation: str = "bilinear") -> tf.Tensor:
    """Decodes, resizes and encodes again, as PNG.

    Args:
        encoded: string tensor `(batch,)`, see `each_picture`.
        image_size: pair of ints, height and width.
        interpolation: str. `"bilinear"` (default) or `"bicubic"`.

    Returns:
        String tensor `(batch,)`, empty where a picture is refused or broken.
    """

    def resize_one(image: tf.Tensor) -> tf.Tensor:
        image = tf.image.resize(image, tuple(image_size), method=interpolation, antialias=True)
        return tf.io.encode_png(tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8))

    return each_picture(encoded, resize_one)
