"""The modalities that there are, and which of them a run may pair."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.modality import Modality


class _Text(Modality):
    """A text: UTF-8 in raw examples and requests, token ids after Transform."""

    example_feature = tf.io.FixedLenFeature([], tf.string)
    request_spec = tf.TensorSpec([None], tf.string)

    def transformed_feature(self, first):
        return tf.io.FixedLenFeature([len(first.int64_list.value)], tf.int64)

    def decode(self, transformed):
        return transformed

    def rows(self, transformed: np.ndarray) -> np.ndarray:
        return transformed


class _Image(Modality):
    """A picture: PNG or JPEG in raw examples and requests, a PNG of the backbone's size after Transform."""

    example_feature = tf.io.FixedLenFeature([], tf.string)
    request_spec = tf.TensorSpec([None], tf.string)

    def transformed_feature(self, first):
        return tf.io.FixedLenFeature([], tf.string)

    def decode(self, transformed):
        # (batch, height, width, 3)
        return tf.map_fn(
            lambda image: tf.io.decode_png(image, channels=3),
            tf.reshape(transformed, [-1]),
            fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
        )


#: All modalities by name, in the order in which a run names its two.
MODALITIES: dict[str, Modality] = {
    modality.name: modality
    for modality in (
        _Text("text", "tokens", "text"),
        _Image("image", "image", "image_bytes"),
    )
}


def input_name(modality: str) -> str:
    """Name of the input that a backbone of this modality has in a whole model; a modality's own name otherwise."""
    return MODALITIES[modality].input_name if modality in MODALITIES else modality
