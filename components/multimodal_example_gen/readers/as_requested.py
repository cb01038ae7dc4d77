"""Whether a request with a picture's file shows a served model what the ingest stores of it."""

from __future__ import annotations

import tensorflow as tf

from hfmnas_keras.data.picture_decoding import decode_picture
from hfmnas_keras.data.picture_headers import PictureHeaders, read_headers

#: Decoders round in different ways, by so many of 255 levels.
MAX_DIFFERENCE = 3
REFUSED = "refused in requests"
OTHERWISE = "seen otherwise in requests"
# In bytes: notes and tables of so many have fewer parts than requests may have.
_SHORT_HEADER = 2000
_START_OF_PIXELS = b"\xff\xda"


def difference_from_request(file: bytes, stored: bytes, has_same_pixels: bool) -> str:
    """Asks the decoder of served models what it makes of the file.

    Two programs that read the same format never agree on all of its files: notes of other types, parts in another
    order, sums that are wrong. What they disagree on is counted, whatever it is.

    Args:
        file: bytes. As a request would send it.
        stored: bytes. What the ingest stores: PNG or JPEG, the right way up.
        has_same_pixels: bool. Whether `stored` is the file's own compressed data. Then its header alone is read.

    Returns:
        str. `REFUSED`, `OTHERWISE`, or `""` where both are equal within `MAX_DIFFERENCE`.
    """
    if has_same_pixels and _has_short_header(file, stored):
        return ""
    header = _header(tf.constant(file))
    if header.refusal != b"":
        return REFUSED
    if has_same_pixels:
        return OTHERWISE if header.orientation != 1 else ""
    try:
        return OTHERWISE if _difference(tf.constant(file), tf.constant(stored), header) > MAX_DIFFERENCE else ""
    except tf.errors.InvalidArgumentError:
        return REFUSED


def _has_short_header(file: bytes, stored: bytes) -> bool:
    """Whether a usual JPEG has nothing before its pixels that could be read in two ways, as most from the web have."""
    return (
        b"Exif" not in file
        and len(file) - len(stored) < _SHORT_HEADER
        and stored.find(_START_OF_PIXELS) < _SHORT_HEADER
    )


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _header(file: tf.Tensor) -> PictureHeaders:
    return tf.nest.map_structure(lambda values: values[0], read_headers(file[tf.newaxis]))


@tf.function(reduce_retracing=True, autograph=False)
def _difference(file: tf.Tensor, stored: tf.Tensor, header: PictureHeaders) -> tf.Tensor:
    """The largest difference of two pictures, in levels; more than all levels when their sizes differ."""
    requested = decode_picture(file, header)
    kept = tf.io.decode_image(stored, channels=3, expand_animations=False)
    levels = tf.cond(
        tf.reduce_all(tf.shape(requested) == tf.shape(kept)),
        # Without a sign: the larger minus the smaller.
        lambda: tf.reduce_max(tf.maximum(requested, kept) - tf.minimum(requested, kept)),
        lambda: tf.constant(255, tf.uint8),
    )
    return tf.cast(levels, tf.int32)
