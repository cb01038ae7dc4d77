"""What encoded pictures say of themselves before anything is decoded, for a batch at once and in the graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

#: A phone writes 12 to 50 million pixels; a picture is scaled to some hundred pixels a side afterwards.
MAX_PIXELS = 40_000_000
MAX_BYTES = 64 * 1024 * 1024
#: Of a clip's frame.
MAX_FRAME_PIXELS = 4096 * 2304
PNG, JPEG, BMP = 1, 2, 3
# Files have some ten parts before their pixels begin, those with large colour profiles some hundred.
_MAX_PARTS = 1000
_MAX_NOTES = 100
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_ORIENTATION_TAG = 0x0112
# Types of whole numbers in EXIF, without sign and with one: of 16 bits, as the standard asks, and of 32.
_SHORTS, _LONGS = (3, 8), (4, 9)


class PictureHeaders(NamedTuple):
    """Headers of a batch of pictures, each field of shape `(batch,)`.

    Attributes:
        refusal: string. Why the picture is not decoded, for a person; empty where it is.
        kind: int32. `PNG`, `JPEG`, `BMP`, or 0.
        is_transparent: bool. The file has transparent places (PNG).
        orientation: int32, 1 to 8. How the picture must be turned (EXIF's tag 0x0112), 1 for not at all.
        lacks_adobe: bool. Four channels, and no word of Adobe's which way round they are (JPEG).
    """

    refusal: tf.Tensor
    kind: tf.Tensor
    is_transparent: tf.Tensor
    orientation: tf.Tensor
    lacks_adobe: tf.Tensor


def read_headers(encoded: tf.Tensor) -> PictureHeaders:
    """Reads the headers of encoded pictures.

    Refused is what TensorFlow decodes otherwise than viewers do (palettes in BMP, transparent GIF, a transparent colour
    in a PNG of 2 or 4 grey bits or of 16 bits), what has several frames, and what would fill the memory: more than
    `MAX_BYTES`, or `MAX_PIXELS` when decoded. The ingest (`components.multimodal_example_gen.readers.picture`) counts
    what it takes and this refuses.

    Args:
        encoded: string tensor `(batch,)`, files of any content.

    Returns:
        PictureHeaders.
    """
    head = _bytes(encoded, tf.zeros_like(tf.strings.length(encoded)), 34)
    is_png = _begins(head, b"\x89PNG\r\n\x1a\n") & _begins(head[:, 12:], b"IHDR")
    is_jpeg, is_bmp = _begins(head, b"\xff\xd8\xff"), _begins(head, b"BM")
    bits, colour = head[:, 24], head[:, 25]
    png = _png_notes(encoded, is_png)
    jpeg = _jpeg_notes(encoded, is_jpeg)

    width = tf.where(is_png, _number(head[:, 16:20]), tf.where(is_bmp, _number(head[:, 18:22], "<"), jpeg.width))
    # A bitmap whose first line is the upper one has a negative height.
    bmp_height = _number(head[:, 22:26], "<")
    bmp_height = tf.where(bmp_height >= 1 << 31, (1 << 32) - bmp_height, bmp_height)
    height = tf.where(is_png, _number(head[:, 20:24]), tf.where(is_bmp, bmp_height, jpeg.height))
    is_large = (width > MAX_PIXELS) | (height > MAX_PIXELS) | (width * height > MAX_PIXELS)

    is_plain_bmp = (_number(head[:, 14:18], "<") >= 40) & (head[:, 28] == 24) & (_number(head[:, 30:34], "<") == 0)
    has_odd_colour = is_png & png.has_clear_colour & ((bits == 16) | ((colour == _GREY) & ((bits == 2) | (bits == 4))))
    length = tf.strings.length(encoded)
    size = tf.strings.join([tf.strings.as_string(width), " x ", tf.strings.as_string(height)])
    refusals = [
        (length == 0, tf.constant("The picture is empty.")),
        (length > MAX_BYTES, tf.constant(f"The picture has more than {MAX_BYTES} bytes.")),
        (
            ~(is_png | is_jpeg | (is_bmp & is_plain_bmp)),
            tf.constant("The picture is none of PNG, JPEG and BMP of 24 bits. Send it as PNG or JPEG."),
        ),
        (png.is_animated, tf.constant("The picture is an animation. Send one frame.")),
        (
            has_odd_colour,
            tf.constant(
                "The picture is a PNG with a transparent colour of 2, 4 or 16 bits. Send it with 8 bits a channel."
            ),
        ),
        (
            png.is_endless | jpeg.is_endless,
            tf.constant(f"The picture has more than {_MAX_PARTS} parts before its pixels."),
        ),
        (is_large, tf.strings.join(["The picture has ", size, f" pixels, at most {MAX_PIXELS} are decoded."])),
        ((width == 0) | (height == 0), tf.constant("The picture is broken: its header names no size.")),
    ]
    refusal = tf.fill(tf.shape(encoded), "")
    for is_refused, reason in reversed(refusals):
        refusal = tf.where(is_refused, reason, refusal)
    kind = tf.where(is_png, PNG, tf.where(is_jpeg, JPEG, tf.where(is_bmp, BMP, 0)))
    has_alpha = (colour == _GREY_ALPHA) | (colour == _RGB_ALPHA)
    return PictureHeaders(
        refusal=refusal,
        kind=tf.cast(kind, tf.int32),
        is_transparent=is_png & (has_alpha | png.has_clear_colour),
        orientation=_orientation(encoded, png.exif + jpeg.exif, png.exif_end + jpeg.exif_end),
        lacks_adobe=(jpeg.channels == 4) & ~jpeg.has_adobe,
    )


class _PngNotes(NamedTuple):
    """What the chunks of a PNG say before its pixels.

    EXIF lies from `exif` to `exif_end`, 0 for none; `is_endless`: there are more than `_MAX_PARTS` of them.
    """

    has_clear_colour: tf.Tensor
    is_animated: tf.Tensor
    exif: tf.Tensor
    exif_end: tf.Tensor
    is_endless: tf.Tensor


class _JpegNotes(NamedTuple):
    """What the segments of a JPEG say before its pixels; EXIF as in `_PngNotes`."""

    width: tf.Tensor
    height: tf.Tensor
    channels: tf.Tensor
    has_adobe: tf.Tensor
    exif: tf.Tensor
    exif_end: tf.Tensor
    is_endless: tf.Tensor


def _png_notes(encoded: tf.Tensor, is_png: tf.Tensor) -> _PngNotes:
    """Reads the chunks of PNGs up to the pixels (PNG, third edition, 5)."""
    ends = tf.strings.length(encoded)

    def step(number: Any, places: Any, is_active: Any, notes: Any) -> Any:
        # Length (4), name (4), content, sum (4).
        head = _bytes(encoded, places, 8)
        name, after = head[:, 4:], _onward(places, 12 + _number(head[:, :4]), ends)
        is_exif = is_active & _begins(name, b"eXIf") & (notes.exif == 0)
        notes = _PngNotes(
            notes.has_clear_colour | (is_active & _begins(name, b"tRNS")),
            notes.is_animated | (is_active & _begins(name, b"acTL")),
            tf.where(is_exif, places + 8, notes.exif),
            tf.where(is_exif, after - 4, notes.exif_end),
            notes.is_endless,
        )
        is_last = _begins(name, b"IDAT") | _begins(name, b"IEND")
        return number + 1, after, is_active & ~is_last & (after < ends), notes

    no, none = tf.zeros_like(is_png), tf.zeros_like(ends)
    # Behind the signature and the header.
    return _walk(step, none + 33, is_png, _PngNotes(no, no, none, none, no))


def _jpeg_notes(encoded: tf.Tensor, is_jpeg: tf.Tensor) -> _JpegNotes:
    """Reads the segments of JPEGs up to the pixels (ITU-T T.81, B.1.1)."""
    ends = tf.strings.length(encoded)

    def step(number: Any, places: Any, is_active: Any, notes: Any) -> Any:
        # Marker (2), length (2), content.
        head = _bytes(encoded, places, 10)
        marker, is_marker = head[:, 1], head[:, 0] == 0xFF
        is_alone = (marker == 0) | (marker == 1) | ((marker >= 0xD0) & (marker <= 0xD8))
        has_content = is_active & is_marker & ~is_alone & (marker != 0xFF)
        # One byte on where it is filled up, or is not what it should be.
        by = tf.where(
            has_content, 2 + _number(head[:, 2:4]), tf.where(is_marker & is_alone, tf.constant(2, tf.int64), 1)
        )
        after = _onward(places, by, ends)
        is_frame = (marker >= 0xC0) & (marker <= 0xCF) & (marker != 0xC4) & (marker != 0xC8) & (marker != 0xCC)
        is_frame &= has_content
        is_exif = has_content & (marker == 0xE1) & _begins(head[:, 4:], b"Exif\0\0") & (notes.exif == 0)
        is_adobe = has_content & (marker == 0xEE) & _begins(head[:, 4:], b"Adobe") & (by >= 16)
        notes = _JpegNotes(
            tf.where(is_frame, _number(head[:, 7:9]), notes.width),
            tf.where(is_frame, _number(head[:, 5:7]), notes.height),
            tf.where(is_frame, head[:, 9], notes.channels),
            notes.has_adobe | is_adobe,
            tf.where(is_exif, places + 10, notes.exif),
            tf.where(is_exif, after, notes.exif_end),
            notes.is_endless,
        )
        is_last = has_content & ((marker == 0xDA) | (marker == 0xD9))
        return number + 1, after, is_active & ~is_last & (after < ends), notes

    no, none = tf.zeros_like(is_jpeg), tf.zeros_like(ends)
    sizes = tf.cast(none, tf.int64)
    # Behind the signature.
    return _walk(step, none + 2, is_jpeg, _JpegNotes(sizes, sizes, none, no, none, none, no))


def _orientation(encoded: tf.Tensor, places: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """Reads how a camera was held, from the first directory of EXIF that begins at `places` (0: there is none)."""
    head = _bytes(encoded, places, 8)
    is_little = _begins(head, b"II*\0")
    is_known = (places > 0) & (is_little | _begins(head, b"MM\0*"))

    def number(values: Any) -> Any:
        return tf.where(
            tf.reshape(is_little, [-1] + [1] * (len(values.shape) - 2)), _number(values, "<"), _number(values)
        )

    directory = _onward(places, number(head[:, 4:8]), ends)
    count = number(_bytes(encoded, directory, 2))
    # (batch, notes, 12): tag (2), type (2), number of values (4), value (4).
    notes = tf.reshape(_bytes(encoded, directory + 2, 12 * _MAX_NOTES), [-1, _MAX_NOTES, 12])
    index = tf.range(_MAX_NOTES)
    is_inside = (directory[:, tf.newaxis] + 2 + 12 * (index + 1) <= ends[:, tf.newaxis]) & (
        tf.cast(index, tf.int64) < count[:, tf.newaxis]
    )
    kind = number(notes[:, :, 2:4])[..., tf.newaxis]
    is_short, is_long = (tf.reduce_any(kind == kinds, axis=-1) for kinds in (_SHORTS, _LONGS))
    is_asked = is_inside & (number(notes[:, :, 0:2]) == _ORIENTATION_TAG) & (is_short | is_long)
    values = tf.where(is_long, number(notes[:, :, 8:12]), number(notes[:, :, 8:10]))
    # Of several the last, as Pillow has it.
    last = tf.reduce_max(tf.where(is_asked, index + 1, 0), axis=1)
    value = tf.reduce_sum(tf.where(is_asked & (index + 1 == last[:, tf.newaxis]), values, 0), axis=1)
    is_turned = is_known & (value >= 1) & (value <= 8)
    return tf.cast(tf.where(is_turned, value, 1), tf.int32)


def _walk(step: Any, places: Any, is_active: Any, notes: Any) -> Any:
    """Walks over the parts of all files at once, until the last of them has told all, or has too many parts."""
    _, _, is_endless, notes = tf.while_loop(
        lambda number, places, is_active, notes: tf.reduce_any(is_active) & (number < _MAX_PARTS),
        step,
        (tf.constant(0), places, is_active, notes),
    )
    return notes._replace(is_endless=is_endless)


def _onward(places: tf.Tensor, by: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """Moves places on, but not beyond the files' ends."""
    return tf.cast(tf.minimum(tf.cast(places, tf.int64) + by, tf.cast(ends, tf.int64)), tf.int32)


def _bytes(encoded: tf.Tensor, places: tf.Tensor, count: int) -> tf.Tensor:
    """So many bytes of each file, int32 `(batch, count)`; zeros behind its end."""
    places = tf.minimum(places, tf.strings.length(encoded))
    part = tf.strings.substr(encoded, places, tf.fill(tf.shape(places), count))
    return tf.cast(tf.reshape(tf.io.decode_raw(part, tf.uint8, fixed_length=count), [-1, count]), tf.int32)


def _number(values: tf.Tensor, order: str = ">") -> tf.Tensor:
    """Reads bytes along the last axis as a whole number without sign, int64."""
    count = values.shape[-1]
    weights = [1 << (8 * place) for place in range(count)]
    return tf.reduce_sum(tf.cast(values, tf.int64) * (weights if order == "<" else weights[::-1]), axis=-1)


def _begins(values: tf.Tensor, expected: bytes) -> tf.Tensor:
    """Whether rows of bytes begin so, bool `(batch,)`."""
    return tf.reduce_all(values[:, : len(expected)] == list(expected), axis=-1)
