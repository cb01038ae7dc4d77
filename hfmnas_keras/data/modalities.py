"""The modalities that there are, and which of them a run may pair."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.modality import Modality
from hfmnas_keras.data.picture_headers import MAX_FRAME_PIXELS, read_headers

#: Bodies, joints and coordinates in a frame of a skeleton.
SKELETON_FRAME = (2, 25, 3)
#: In UTF-8. Splitting a text into words takes hundreds of times its memory; a novel has half as many.
MAX_TEXT_BYTES = 1 << 20
#: Feature of transformed examples with the ids of sub-words, which a text may have beside those of its words.
SUBWORDS = "subwords"


class _Text(Modality):
    """A text: UTF-8 in raw examples and requests, token ids after Transform, and, where it has any, those of sub-words.

    A backbone reads both side by side, the words first.
    """

    example_feature = tf.io.FixedLenFeature([], tf.string)
    request_spec = tf.TensorSpec([None], tf.string)

    def transformed_feature(self, first: Any) -> Any:
        return tf.io.FixedLenFeature([len(first.int64_list.value)], tf.int64)

    def of_transformed(self, features: Any) -> Any:
        tokens = super().of_transformed(features)
        if SUBWORDS not in features:
            return tokens
        join = np.concatenate if isinstance(tokens, np.ndarray) else tf.concat
        return join([tokens, features[SUBWORDS]], axis=1)

    def decode(self, transformed: Any) -> Any:
        return transformed

    def blank(self, shape: Any) -> Any:
        return tf.zeros([1, *shape], tf.int64)

    def bounded(self, raw: Any) -> Any:
        return tf.where(tf.strings.length(raw) > MAX_TEXT_BYTES, "", raw)

    def errors(self, raw: Any, transformed: Any) -> Any:
        return tf.where(tf.strings.length(raw) > MAX_TEXT_BYTES, f"The text has more than {MAX_TEXT_BYTES} bytes.", "")

    def is_absent(self, raw: Any, transformed: Any) -> Any:
        # A text without a word, too; not one that is left out as too long.
        return tf.reduce_all(tf.equal(transformed, 0), axis=1) & (tf.strings.length(raw) <= MAX_TEXT_BYTES)

    def lacking(self, transformed: np.ndarray) -> np.ndarray:
        return (transformed == 0).all(axis=1)

    def rows(self, transformed: np.ndarray) -> np.ndarray:
        return transformed


class _Image(Modality):
    """A picture: PNG or JPEG in raw examples and requests, a PNG of the backbone's size after Transform."""

    example_feature = tf.io.FixedLenFeature([], tf.string)
    request_spec = tf.TensorSpec([None], tf.string)

    def transformed_feature(self, first: Any) -> Any:
        return tf.io.FixedLenFeature([], tf.string)

    def decode(self, transformed: Any) -> Any:
        # (batch, height, width, 3)
        return tf.map_fn(
            lambda image: tf.io.decode_png(image, channels=3),
            tf.reshape(transformed, [-1]),
            fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
        )

    def blank(self, shape: Any) -> Any:
        return tf.io.encode_png(tf.zeros(shape, tf.uint8))[tf.newaxis]

    def is_absent(self, raw: Any, transformed: Any) -> Any:
        return tf.equal(tf.reshape(raw, [-1]), "")

    def lacking(self, transformed: np.ndarray) -> np.ndarray:
        return transformed == b""

    def errors(self, raw: Any, transformed: Any) -> Any:
        is_lost = tf.equal(tf.reshape(transformed, [-1]), "")

        def told() -> Any:
            refusal = read_headers(tf.reshape(raw, [-1])).refusal
            return tf.where(is_lost, tf.where(tf.equal(refusal, ""), "The picture is broken.", refusal), "")

        # Headers are read again, where there is something to tell.
        return tf.cond(tf.reduce_any(is_lost), told, lambda: tf.fill(tf.shape(is_lost), ""))


class _Skeleton(Modality):
    """Where joints were: metres in raw examples and requests, in any number of frames; resampled after Transform.

    Each frame has the coordinates of two bodies, a body that was not seen being all zeros. Where the clips of a
    request differ in length, frames of zeros fill them up.
    """

    example_feature = tf.io.VarLenFeature(tf.float32)
    request_spec = tf.TensorSpec([None, None, *SKELETON_FRAME], tf.float32)

    def transformed_feature(self, first: Any) -> Any:
        frames = len(first.float_list.value) // math.prod(SKELETON_FRAME)
        return tf.io.FixedLenFeature([frames, *SKELETON_FRAME], tf.float32)

    def decode(self, transformed: Any) -> Any:
        return transformed

    def blank(self, shape: Any) -> Any:
        return tf.zeros([1, *shape], tf.float32)

    def errors(self, raw: Any, transformed: Any) -> Any:
        is_lost = tf.reduce_any(tf.math.is_nan(transformed), axis=list(range(1, len(transformed.shape))))
        told = f"A skeleton needs {math.prod(SKELETON_FRAME)} numbers a frame, all finite, and one frame or more."
        return tf.where(is_lost, told, "")

    def of_request(self, argument: Any) -> Any:
        return _sparse(tf.reshape(argument, [tf.shape(argument)[0], tf.shape(argument)[1] * math.prod(SKELETON_FRAME)]))

    def rows(self, transformed: np.ndarray) -> np.ndarray:
        return transformed


class _Clip(Modality):
    """Pictures in the order of time, colour or depth: PNG or JPEG in raw examples and requests, in any number.

    After Transform there are as many as the backbone reads, of its size, each still encoded. Where the clips of a
    request differ in length, empty strings fill them up.
    """

    example_feature = tf.io.VarLenFeature(tf.string)
    request_spec = tf.TensorSpec([None, None], tf.string)

    def __init__(self, name: str, channels: int):
        super().__init__(name, name, name)
        self.channels = channels

    def transformed_feature(self, first: Any) -> Any:
        return tf.io.FixedLenFeature([len(first.bytes_list.value)], tf.string)

    def decode(self, transformed: Any) -> Any:
        pictures = tf.map_fn(
            lambda picture: tf.io.decode_image(picture, channels=self.channels, expand_animations=False),
            tf.reshape(transformed, [-1]),
            fn_output_signature=tf.TensorSpec([None, None, self.channels], tf.uint8),
        )
        # (batch, frames, height, width, channels)
        return tf.reshape(pictures, tf.concat([tf.shape(transformed), tf.shape(pictures)[1:]], axis=0))

    def blank(self, shape: Any) -> Any:
        return tf.repeat(tf.io.encode_png(tf.zeros(shape[1:], tf.uint8))[tf.newaxis], shape[0])[tf.newaxis]

    def errors(self, raw: Any, transformed: Any) -> Any:
        is_lost = tf.equal(transformed, "")
        deep = ", has 16 bits a channel" if self.channels == 1 else ""
        told = tf.strings.join(
            [
                "Frame ",
                tf.strings.as_string(1 + tf.argmax(is_lost, axis=1)),
                f" of the {transformed.shape[1]} that are read is missing, broken, neither PNG nor JPEG{deep}, or has "
                f"more than {MAX_FRAME_PIXELS} pixels.",
            ]
        )
        told = tf.where(tf.reduce_all(is_lost, axis=1), "No frame of the clip can be read.", told)
        return tf.where(tf.reduce_any(is_lost, axis=1), told, "")

    def of_request(self, argument: Any) -> Any:
        return _sparse(argument)


def _sparse(dense: tf.Tensor) -> tf.SparseTensor:
    """All values of `(batch, values)`, zeros and empty strings too, as `tf.io.VarLenFeature` gives them."""
    return tf.RaggedTensor.from_tensor(dense).to_sparse()


#: All modalities by name, in the order in which a run names its two.
MODALITIES: dict[str, Modality] = {
    modality.name: modality
    for modality in (
        _Text("text", "tokens", "text"),
        _Image("image", "image", "image_bytes"),
        _Skeleton("skeleton", "skeleton", "skeleton"),
        _Clip("depth", channels=1),
        _Clip("video", channels=3),
    )
}


def input_name(modality: str) -> str:
    """Name of the input that a backbone of this modality has in a whole model; a modality's own name otherwise."""
    return MODALITIES[modality].input_name if modality in MODALITIES else modality
