"""Decodes pictures in the graph as the ingest decodes them, and each on its own: a broken one breaks no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from hfmnas_keras.data.picture_headers import BMP, MAX_PIXELS, PNG, PictureHeaders, read_headers

# Says that four channels are inverted, as every program writes them and as Pillow reads them.
_ADOBE_SEGMENT = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
# So many pictures are in memory at a time.
_DECODED_AT_ONCE = 4


def each_picture(encoded: tf.Tensor, prepare: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Decodes pictures one by one, prepares each and keeps what became of it.

    Args:
        encoded: string tensor `(batch,)`: PNG, JPEG, or BMP of 24 bits.
        prepare: callable. Takes uint8 `(height, width, 3)`, RGB on white, the right way up; returns a string scalar,
            not empty.

    Returns:
        String tensor `(batch,)`, empty where a picture is refused (`read_headers`) or broken.
    """
    headers = read_headers(encoded)
    return each_alone(
        (encoded, headers),
        tf.equal(headers.refusal, ""),
        lambda encoded, header: prepare(decode_picture(encoded, header)),
    )


def each_alone(elements: Any, is_kept: tf.Tensor, prepare: Callable[..., tf.Tensor]) -> tf.Tensor:
    """Prepares elements one by one; one that fails is lost alone.

    Args:
        elements: tuple of tensors `(batch, ...)` or of nests of them.
        is_kept: bool tensor `(batch,)`. Others are not prepared at all.
        prepare: callable. Takes an element, unpacked; returns a string scalar, not empty.

    Returns:
        String tensor `(batch,)`, empty where an element was not kept or failed.
    """
    count = tf.size(is_kept, tf.int64)
    rows = tf.data.Dataset.from_tensor_slices((tf.range(count), is_kept, elements))
    rows = rows.filter(lambda row, is_kept, element: is_kept)
    rows = rows.map(lambda row, is_kept, element: (row, prepare(*element)), _DECODED_AT_ONCE)
    # The last one stands for nothing: a set without elements cannot be taken apart.
    last = tf.data.Dataset.from_tensors((count, tf.constant("")))
    places, prepared = rows.ignore_errors().concatenate(last).batch(count + 1).get_single_element()
    return tf.tensor_scatter_nd_update(tf.fill([count + 1], ""), places[:, tf.newaxis], prepared)[:count]


def decode_picture(encoded: tf.Tensor, header: PictureHeaders) -> tf.Tensor:
    """Decodes one picture to RGB on white, turned as its camera was held.

    Args:
        encoded: string scalar that `header` does not refuse.
        header: PictureHeaders of scalars.

    Returns:
        uint8 tensor `(height, width, 3)`.

    Raises:
        tf.errors.InvalidArgumentError: when the picture is broken.
    """
    image = tf.case(
        [
            (tf.equal(header.kind, PNG), lambda: _decoded_png(encoded, header.is_transparent)),
            (tf.equal(header.kind, BMP), lambda: tf.io.decode_bmp(encoded, channels=3)),
        ],
        default=lambda: _decoded_jpeg(encoded, header.lacks_adobe),
    )
    image = tf.ensure_shape(image, [None, None, 3])
    turn = header.orientation
    image = tf.cond(turn >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    for axis, turns in ((0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))):
        image = tf.cond(
            tf.reduce_any(turn == turns),
            lambda image=image, axis=axis: tf.reverse(image, [axis]),
            lambda image=image: image,
        )
    return tf.ensure_shape(image, [None, None, 3])


def _decoded_png(encoded: tf.Tensor, is_transparent: tf.Tensor) -> tf.Tensor:
    # Without transparency nothing is asked of the fourth channel, which is wrong below 8 bits.
    return tf.cond(
        is_transparent,
        lambda: _on_white(tf.io.decode_png(encoded, channels=4)),
        lambda: tf.io.decode_png(encoded, channels=3),
    )


def _on_white(image: tf.Tensor) -> tf.Tensor:
    # At most 255 x 255 + 127, which 16 bits hold, in half the memory of floating point.
    wide = tf.cast(image, tf.uint16)
    alpha = wide[..., 3:]
    return tf.cast((wide[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


def _decoded_jpeg(encoded: tf.Tensor, lacks_adobe: tf.Tensor) -> tf.Tensor:
    # Asked of the decoder itself: a header that was read otherwise than it reads it must not get past the bound.
    pixels = tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.int64))
    with tf.control_dependencies([tf.debugging.Assert(pixels <= MAX_PIXELS, [pixels])]):
        start = tf.cond(lacks_adobe, lambda: tf.constant(_ADOBE_SEGMENT), lambda: tf.constant(b""))
        told = tf.strings.join([b"\xff\xd8", start, tf.strings.substr(encoded, 2, tf.strings.length(encoded))])
    return tf.io.decode_jpeg(told, channels=3, dct_method="INTEGER_ACCURATE")
