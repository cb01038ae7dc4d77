"""Reads the frames of clips that are stored as one JPEG a frame."""

from __future__ import annotations

import io
import os
import warnings

from PIL import Image

from components.multimodal_example_gen.row import SkipRowError

#: Frames have 320 x 240 or 640 x 480 pixels and some ten thousand bytes.
MAX_PIXELS = 4096 * 2304
MAX_BYTES = 16 * 1024 * 1024
JPEG_QUALITY = 90

_END_OF_IMAGE = b"\xff\xd9"


def colour_frame(path: str, short_side: int) -> tuple[bytes, tuple[int, int]]:
    """Reads a colour frame.

    Args:
        path: str. A JPEG.
        short_side: int. A larger frame is scaled down until its shorter side has so many pixels.

    Returns:
        tuple of an RGB JPEG and its width and height. It is the file as it is, if that is whole, RGB and small enough.

    Raises:
        SkipRowError: with one of the reasons `missing_frame`, `frame_too_large`, `unreadable_frame`.
    """
    data, image = _read(path)
    small = _scaled_size(image.size, short_side)
    # Pillow forgives a cut last marker, decoders downstream may not.
    if image.mode == "RGB" and image.size == small and data.endswith(_END_OF_IMAGE):
        return data, small
    image = image.convert("RGB")
    if image.size != small:
        image = image.resize(small, Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue(), small


def depth_frame(path: str, short_side: int) -> tuple[bytes, tuple[int, int]]:
    """Reads a depth frame.

    Args:
        path: str. A JPEG; of several channels the brightness is taken.
        short_side: int. See `colour_frame`. Pixels are picked, not averaged: between near and far there is nothing.

    Returns:
        tuple of an 8-bit single-channel PNG and its width and height.

    Raises:
        SkipRowError: see `colour_frame`.
    """
    _, image = _read(path)
    image = image.convert("L")
    small = _scaled_size(image.size, short_side)
    if image.size != small:
        image = image.resize(small, Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    # A fresh image carries no metadata; pixels alone decide the bytes.
    Image.frombytes("L", image.size, image.tobytes()).save(buffer, format="PNG")
    return buffer.getvalue(), small


def _read(path: str) -> tuple[bytes, Image.Image]:
    """Returns the file and its picture, decoded."""
    name = os.path.basename(path)
    # A device or a pipe would never end.
    if not os.path.isfile(path):
        raise SkipRowError("missing_frame", f"there is no frame {name!r}")
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise SkipRowError("frame_too_large", f"the frame {name!r} has more than {MAX_BYTES} bytes")
    with warnings.catch_warnings():
        # Pillow warns at a bound of its own; the bound here is checked before anything is decoded.
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=("JPEG",))
            width, height = image.size
            if width * height <= MAX_PIXELS:
                image.load()
                return data, image
        except Image.DecompressionBombError as error:
            raise SkipRowError("frame_too_large", f"the frame {name!r}: {error}") from error
        # A decoder meets bytes of strangers here; what it raises is not a closed list.
        except Exception as error:
            raise SkipRowError("unreadable_frame", f"the frame {name!r} is no whole JPEG: {error}"[:300]) from error
    raise SkipRowError("frame_too_large", f"the frame {name!r} is {width} x {height}, at most {MAX_PIXELS} pixels")


def _scaled_size(size: tuple[int, int], short_side: int) -> tuple[int, int]:
    scale = min(1.0, short_side / min(size))
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height
