"""Reads pictures that strangers made: bounded before they are decoded, checked, and stored as plain RGB PNG."""

from __future__ import annotations

import io
import os
import warnings

import numpy as np
from PIL import Image

from components.multimodal_example_gen.row import SkipRowError

#: Formats that are decoded. Others that Pillow knows start programs (EPS) or parse far more than a picture (PSD).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
#: A phone writes 12 to 50 million pixels; a picture is scaled to some hundred pixels a side afterwards.
MAX_PIXELS = 40_000_000
MAX_BYTES = 64 * 1024 * 1024


def read_picture(path: str, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> bytes:
    """Reads a picture of any colour mode and returns it as an RGB PNG on white.

    Orientation notes of cameras (EXIF) are not applied: the served model gets the bytes as they are, and training must
    see what serving sees.

    Args:
        path: str. File to read.
        max_pixels: int. Width x height above which a picture is refused, from its header, before it is decoded.
        max_bytes: int. File size in bytes above which a file is not opened.

    Returns:
        bytes. PNG, 8 bits, three channels.

    Raises:
        SkipRowError: with one of the reasons `missing_image`, `image_file_too_large`, `image_too_large`,
            `unsupported_image_format`, `animated_image`, `unreadable_image`.
    """
    if not os.path.isfile(path):
        raise SkipRowError("missing_image", f"there is no file at {path!r}")
    size = os.path.getsize(path)
    if size > max_bytes:
        raise SkipRowError("image_file_too_large", f"{path!r} has {size} bytes, at most {max_bytes} are read")
    with open(path, "rb") as file:
        return encode_png(decode_picture(file.read(max_bytes + 1), repr(path), max_pixels))


def decode_picture(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes the bytes of one picture to RGB on white.

    Args:
        data: bytes. Encoded picture.
        name: str. What messages call it.
        max_pixels: int. See `read_picture`.

    Returns:
        PIL.Image.Image of mode RGB.

    Raises:
        SkipRowError: see `read_picture`.
    """
    with warnings.catch_warnings():
        # Pillow warns at a bound of its own; the bound here is checked below, before anything is decoded.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            width, height = image.size
        except Image.DecompressionBombError as error:
            raise SkipRowError("image_too_large", f"{name}: {error}") from error
        except Image.UnidentifiedImageError as error:
            raise _unidentified(data, name) from error
        # Decoders of a dozen formats meet bytes of strangers here; what they raise is not a closed list.
        except Exception as error:
            raise SkipRowError("unreadable_image", f"{name} has a broken header: {error!r}") from error
        if width * height > max_pixels:
            raise SkipRowError("image_too_large", f"{name} is {width} x {height}, at most {max_pixels} pixels are read")
        try:
            # A JPEG of several frames (MPO) is a photograph with a preview, not an animation.
            if image.format not in ("JPEG", "MPO") and getattr(image, "is_animated", False):
                raise SkipRowError("animated_image", f"{name} has {image.n_frames} frames, one is expected")
            image.load()
            return on_white(image)
        except SkipRowError:
            raise
        except Exception as error:  # As above.
            raise SkipRowError("unreadable_image", f"{name} cannot be decoded: {error!r}") from error


def encode_png(image: Image.Image) -> bytes:
    """Encodes an RGB picture as PNG, without the notes and profiles of the file that it came from."""
    buffer = io.BytesIO()
    # A fresh image carries no metadata; pixels alone decide the bytes.
    Image.frombytes("RGB", image.size, image.tobytes()).save(buffer, format="PNG")
    return buffer.getvalue()


def on_white(image: Image.Image) -> Image.Image:
    """Turns a decoded picture of any mode to RGB; what is transparent becomes white."""
    if image.mode.startswith("I") or image.mode == "F":
        # A grey PNG that is not of mode L has 16 bits, also where Pillow widens it to 32.
        sixteen_bits = image.mode.startswith("I;16") or image.format == "PNG"
        return _eight_bits(np.asarray(image, dtype=np.float64), sixteen_bits).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        white.alpha_composite(picture)
        return white.convert("RGB")
    return image.convert("RGB")


def _unidentified(data: bytes, name: str) -> SkipRowError:
    """Tells a format that is not taken from bytes that are no picture at all."""
    if not data:
        return SkipRowError("unreadable_image", f"{name} is empty")
    known = (b"%!PS", b"8BPS", b"<svg", b"<?xml", b"II*\0", b"\0\0\1\0", b"P4", b"P5", b"P6", b"icns", b"%PDF")
    heif = data[4:12] in (b"ftypheic", b"ftypmif1", b"ftypavif", b"ftypheix")
    if heif or data.startswith(known):
        return SkipRowError("unsupported_image_format", f"{name} is none of {', '.join(FORMATS)}")
    return SkipRowError("unreadable_image", f"{name} is no picture of the formats {', '.join(FORMATS)}")


def _eight_bits(grey: np.ndarray, sixteen_bits: bool) -> Image.Image:
    """Scales greys to 8 bits, where Pillow's own conversion would clip them.

    32-bit and floating point files do not say what white is: the smallest usual white that holds all values is taken.
    """
    if not np.isfinite(grey).all():
        raise ValueError("the picture holds numbers that are not finite")
    brightest = grey.max(initial=0.0)
    white = 65535.0 if sixteen_bits else next((top for top in (1.0, 255.0, 65535.0) if brightest <= top), brightest)
    return Image.fromarray(np.clip(np.round(grey * (255.0 / white)), 0, 255).astype(np.uint8))
