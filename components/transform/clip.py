"""Clips of colour and of depth to frames of the backbone's number and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from components.transform.raw_features import as_ragged
from hfmnas_keras.data.picture_decoding import each_alone
from hfmnas_keras.data.picture_headers import MAX_FRAME_PIXELS

# Exact PNG frames of photographs take two and a half times the memory.
_JPEG_QUALITY = 95


def prepare_videos(clip: tf.Tensor | tf.SparseTensor, clip_frames: int, clip_size: Sequence[int]) -> tf.Tensor:
    """Samples frames, decodes, resizes and encodes them again, as JPEG; to `(batch, clip_frames)`."""

    def resize_one(encoded: tf.Tensor) -> tf.Tensor:
        image = _decode_frame(encoded, channels=3)
        image = tf.image.resize(image, tuple(clip_size), antialias=True)
        image = tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)
        return tf.io.encode_jpeg(image, quality=_JPEG_QUALITY, chroma_downsampling=False)

    return _sampled_frames(clip, clip_frames, resize_one)


def prepare_depth_clips(clip: tf.Tensor | tf.SparseTensor, clip_frames: int, clip_size: Sequence[int]) -> tf.Tensor:
    """Samples frames, decodes, resizes and encodes them again, as PNG; to `(batch, clip_frames)`."""

    def resize_one(encoded: tf.Tensor) -> tf.Tensor:
        # A PNG's bits a channel lie at a fixed place of its header. Of 16 bits the lower 8 would be lost.
        is_deep = _is_png(encoded) & tf.equal(tf.strings.substr(encoded + b"\0" * 25, 24, 1), b"\x10")
        told = ["A frame of depth has 16 bits. Give 8 bits, scaled as those that the model was trained on."]
        with tf.control_dependencies([tf.debugging.Assert(~is_deep, told)]):
            image = _decode_frame(encoded, channels=1)
        return tf.io.encode_png(tf.image.resize(image, tuple(clip_size), method="nearest"))

    return _sampled_frames(clip, clip_frames, resize_one)


def _sampled_frames(
    clip: tf.Tensor | tf.SparseTensor, clip_frames: int, prepare_one: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Chooses frames, evenly over each clip, and prepares them; to `(batch, clip_frames)`, empty where one is lost."""
    frames = as_ragged(clip)
    lengths = tf.reduce_sum(frames.with_values(tf.cast(tf.strings.length(frames.values) > 0, tf.int64)), axis=1)
    # (batch, clip_frames)
    numbers = (2 * tf.range(clip_frames, dtype=tf.int64) + 1) * lengths[:, tf.newaxis] // (2 * clip_frames)
    places = frames.row_starts()[:, tf.newaxis] + numbers
    # A clip without frames takes what stands behind all of them.
    places = tf.where(lengths[:, tf.newaxis] > 0, places, tf.size(frames.values, tf.int64))
    chosen = tf.reshape(tf.gather(tf.concat([frames.values, [""]], axis=0), places), [-1])

    # Some at a time: a batch of decoded clips may not fit into memory.
    encoded = each_alone((chosen,), tf.strings.length(chosen) > 0, prepare_one)
    return tf.ensure_shape(tf.reshape(encoded, [-1, clip_frames]), [None, clip_frames])


def _decode_frame(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a frame, after a look at its header: what would fill the memory is refused."""
    png = _is_png(encoded)
    is_jpeg = tf.equal(tf.strings.substr(encoded, 0, 3), b"\xff\xd8\xff")
    with tf.control_dependencies([tf.debugging.Assert(png | is_jpeg, ["A frame is neither PNG nor JPEG."])]):
        # A PNG's width and height lie at a fixed place; with zeros where it is cut off.
        size = tf.cond(
            png,
            lambda: tf.io.decode_raw(tf.strings.substr(encoded + b"\0" * 24, 16, 8), tf.int32, little_endian=False),
            lambda: tf.io.extract_jpeg_shape(encoded)[:2],
        )
    pixels = tf.reduce_prod(tf.cast(size, tf.int64))
    is_bounded = tf.reduce_all(size >= 0) & (pixels <= MAX_FRAME_PIXELS)
    told = ["A frame of too many pixels, of which", MAX_FRAME_PIXELS, "are allowed:", size]
    with tf.control_dependencies([tf.debugging.Assert(is_bounded, told)]):
        image = tf.io.decode_image(tf.identity(encoded), channels=channels, expand_animations=False)
    return tf.ensure_shape(image, [None, None, channels])


def _is_png(encoded: tf.Tensor) -> tf.Tensor:
    return tf.equal(tf.strings.substr(encoded, 0, 4), b"\x89PNG")
