"""Pictures to PNG of the backbone's size."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from components.transform.raw_features import as_dense


def prepare_images(image: tf.Tensor, image_size: Sequence[int]) -> tf.Tensor:
    """Decodes, resizes and encodes again; to `(batch, 1)`."""

    def decode_one(one: tf.Tensor) -> tf.Tensor:
        image = tf.cond(is_png(one), lambda: _png_on_white(one), lambda: _decode_rgb(one))
        image.set_shape([None, None, 3])
        image = tf.image.resize(image, tuple(image_size), antialias=True)
        return tf.io.encode_png(tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8))

    # One by one: pictures of a batch differ in size.
    encoded = tf.reshape(as_dense(image), [-1])
    return tf.reshape(tf.map_fn(decode_one, encoded, fn_output_signature=tf.string), [-1, 1])


def _decode_rgb(encoded: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_image(encoded, channels=3, expand_animations=False), tf.float32)


def _png_on_white(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.cast(tf.io.decode_png(encoded, channels=4), tf.float32)
    alpha = image[..., 3:] / 255.0
    return image[..., :3] * alpha + 255.0 * (1.0 - alpha)


def is_png(encoded: tf.Tensor) -> tf.Tensor:
    """Whether the bytes begin as a PNG does."""
    return tf.equal(tf.strings.substr(encoded, 0, 4), b"\x89PNG")
