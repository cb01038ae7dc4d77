"""Reads pictures that strangers made: bounded before they are decoded, checked, and stored as plain JPEG or RGB PNG."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

import tensorflow as tf
from PIL import Image

from components.multimodal_example_gen.readers import limited_process, picture_decoding
from components.multimodal_example_gen.readers.as_requested import difference_from_request
from components.multimodal_example_gen.readers.picture_decoding import MAX_BYTES, MAX_PIXELS, encode_png
from components.multimodal_example_gen.row import SkipRowError
from hfmnas_keras.addresses import is_address
from hfmnas_keras.data.stored_files import copy_file

__all__ = ["MAX_BYTES", "MAX_PIXELS", "StoredPicture", "decode_picture", "encode_png", "read_picture"]

#: A picture takes a second or two at most. So long that a machine under load does not lose pictures.
MAX_SECONDS = 120.0
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"


class StoredPicture(bytes):
    """A picture as it is stored, which knows where it came from.

    Attributes:
        foreign: str. Name of the encoding that the file had, where a served model refuses it or reads it otherwise;
            else `""`.
    """

    foreign: str = ""


def read_picture(
    path: str, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS
) -> StoredPicture:
    """Reads a picture of any colour mode and returns it as it is stored: a usual JPEG as it is, others as PNG on white.

    A JPEG keeps its pixels and loses its notes. It is decoded once, to see that it is whole. To encode it again would
    cost most of the ingest's time and several times the bytes. Serving decodes the very same bytes.

    Orientation notes of cameras (EXIF) in JPEG, PNG, WebP and TIFF are applied, as in serving
    (`hfmnas_keras.data.picture_decoding`). The decoder runs in a process of its own, which may crash or hang.

    Args:
        path: str. File to read; one in a bucket is copied first.
        max_pixels: int. Width x height above which a picture is refused, from its header, before it is decoded.
        max_bytes: int. File size in bytes above which a file is not opened.
        max_seconds: float. After so long the decoder is given up.

    Returns:
        StoredPicture. JPEG of one or three components, or PNG, 8 bits, three channels.

    Raises:
        SkipRowError: with one of the reasons `missing_image`, `image_file_too_large`, `image_too_large`,
            `unsupported_image_format`, `animated_image`, `unreadable_image`, `decoder_crashed`, `decoder_timeout`.
    """
    if is_address(path):
        with _copy(path, max_bytes) as copy:
            return read_picture(copy, max_pixels, max_bytes, max_seconds)
    if not os.path.isfile(path):
        raise SkipRowError("missing_image", f"there is no file at {path!r}")
    _check_size(path, os.path.getsize(path), max_bytes)
    request = {"path": path, "max_pixels": max_pixels, "max_bytes": max_bytes}
    try:
        answer, parts = limited_process.ask(
            picture_decoding.__file__, request, max_seconds, picture_decoding.MAX_MEMORY
        )
    except limited_process.ProcessDiedError as error:
        raise SkipRowError("decoder_crashed", f"the decoder of {path!r} ended by {error}") from error
    except limited_process.ProcessStalledError as error:
        raise SkipRowError("decoder_timeout", f"the decoder of {path!r} took {error}") from error
    if "reason" in answer:
        raise SkipRowError(str(answer["reason"]), str(answer.get("detail")))
    if len(parts) != 1 or not parts[0].startswith((_PNG_SIGNATURE, _JPEG_SIGNATURE)):
        raise SkipRowError("decoder_crashed", f"the decoder of {path!r} gave no picture")
    stored = StoredPicture(parts[0])
    stored.foreign = str(answer.get("foreign", ""))
    if not stored.foreign:
        with open(path, "rb") as file:
            stored.foreign = difference_from_request(file.read(), stored, stored.startswith(_JPEG_SIGNATURE))
    return stored


def decode_picture(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes the bytes of one picture to RGB on white, in this process: for data that we brought along.

    Args:
        data: bytes. Encoded picture.
        name: str. What messages call it.
        max_pixels: int. See `read_picture`.

    Returns:
        PIL.Image.Image of mode RGB.

    Raises:
        SkipRowError: see `read_picture`.
    """
    try:
        return picture_decoding.decode(data, name, max_pixels)[0]
    except picture_decoding.PictureError as error:
        raise SkipRowError(error.reason, error.detail) from error


@contextlib.contextmanager
def _copy(address: str, max_bytes: int) -> Iterator[str]:
    """Yields a local copy of a picture in a bucket, for the decoder's process, which knows none."""
    try:
        size = tf.io.gfile.stat(address).length
    except tf.errors.NotFoundError as error:
        raise SkipRowError("missing_image", f"there is no file at {address!r}") from error
    _check_size(address, size, max_bytes)
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, os.path.basename(address))
        try:
            copy_file(address, copy)
        except FileNotFoundError as error:
            raise SkipRowError("missing_image", f"there is no file at {address!r}") from error
        yield copy


def _check_size(path: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise SkipRowError("image_file_too_large", f"{path!r} has {size} bytes, at most {max_bytes} are read")
