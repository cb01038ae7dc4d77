"""Decodes pictures in a process of its own: C code meets bytes of strangers here, and when it dies it dies alone.

`readers.limited_process` serves `answer` of this file. It imports nothing of this project and no TensorFlow, so that it
starts in a fraction of a second.
"""

from __future__ import annotations

import io
import re
import warnings

import numpy as np
from PIL import Image, ImageFile

#: Formats that are decoded. Others that Pillow knows start programs (EPS) or parse far more than a picture (PSD).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
#: Bounds of requests, as `hfmnas_keras.data.picture_headers` has them.
MAX_PIXELS = 40_000_000
MAX_BYTES = 64 * 1024 * 1024
#: What the process may take in memory.
MAX_MEMORY = 4 << 30

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(Exception):
    """A picture that cannot be used.

    Args:
        reason: str. See `components.multimodal_example_gen.row.Skip`.
        detail: str. See there.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def answer(path: str, max_pixels: int, max_bytes: int) -> tuple[dict[str, str], list[bytes]]:
    """Answers a request to read a picture.

    Args:
        path, max_pixels, max_bytes: see `components.multimodal_example_gen.readers.picture.read_picture`.

    Returns:
        dict and list of bytes: `foreign` and the picture as it is stored, or `reason` and `detail` of a picture that
        cannot be used.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
        plain = plain_jpeg(data)
        if plain is not None and not decode(plain, repr(path), max_pixels, is_kept=True)[1]:
            # Decoded, so it is whole; the very bytes are kept, as a request would send them.
            return {"foreign": ""}, [plain]
        image, foreign = decode(data, repr(path), max_pixels)
        return {"foreign": foreign}, [encode_png(image)]
    except OSError as error:
        return {"reason": "unreadable_image", "detail": f"{path!r} cannot be read: {error.strerror}"}, []
    except PictureError as error:
        return {"reason": error.reason, "detail": error.detail}, []


def decode(data: bytes, name: str, max_pixels: int, is_kept: bool = False) -> tuple[Image.Image, str]:
    """Decodes the bytes of one picture to RGB on white, turned as its camera was held.

    Args:
        data: bytes. Encoded picture.
        name: str. What messages call it.
        max_pixels: int. See `components.multimodal_example_gen.readers.picture.read_picture`.
        is_kept: bool. Whether it is a usual JPEG that is kept, and decoded to see that it is whole. Its pixels are then
            an eighth in grey, which reads all of the file in half the time. Defaults to `False`.

    Returns:
        PIL.Image.Image of mode RGB, and the name of its encoding where requests cannot have it, `""` where they can.

    Raises:
        PictureError: with a reason of `read_picture`.
    """
    with warnings.catch_warnings():
        # Pillow warns at a bound of its own; the bound here is checked below, before anything is decoded.
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            width, height = image.size
        except Image.DecompressionBombError as error:
            raise PictureError("image_too_large", f"{name}: {error}") from error
        except Image.UnidentifiedImageError as error:
            raise _unidentified(data, name) from error
        # Decoders of a dozen formats meet bytes of strangers here; what they raise is not a closed list.
        except Exception as error:
            raise PictureError("unreadable_image", f"{name} has a broken header: {error!r}") from error
        if width * height > max_pixels:
            raise PictureError("image_too_large", f"{name} is {width} x {height}, at most {max_pixels} pixels are read")
        try:
            if _has_frames(image):
                raise PictureError("animated_image", f"{name} has several frames, one is expected")
            foreign = _foreign_to_requests(image, data, name)
            turn = _TURNS.get(_orientation(image))
            if is_kept:
                image.draft("L", (1, 1))
            image.load()
            picture = on_white(image)
            return (picture if turn is None else picture.transpose(turn)), foreign
        except PictureError:
            raise
        except Exception as error:  # As above.
            raise PictureError("unreadable_image", f"{name} cannot be decoded: {error!r}") from error


def plain_jpeg(data: bytes) -> bytes | None:
    """Returns a JPEG without the notes, profiles and previews of its file, its pixels untouched.

    Args:
        data: bytes. Encoded picture.

    Returns:
        bytes; None for what is no JPEG of the usual kind: of another format, turned by a note, in four colours, or
        broken.
    """
    if not data.startswith(b"\xff\xd8") or _orientation_noted(data):
        return None
    kept, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        # Eight bits, one colour or three.
        is_usual = marker in _USUAL_FRAMES and data[at + 4] == 8 and data[at + 9 : at + 10] in (b"\1", b"\3")
        if marker in _FRAMES and not is_usual:
            return None
        if marker not in _NOTES:
            kept.append(data[at:end])
        at = end
        if marker == 0xDA:
            found = _NEXT_MARKER.search(data, at)
            if found is None:
                return None
            kept.append(data[at : found.start()])
            at = found.start()
            if data[at + 1] == 0xD9:
                return b"".join(kept) + b"\xff\xd9"
    return None


#: Start of frame: all kinds, and those that every decoder knows: baseline, extended, progressive.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_USUAL_FRAMES = frozenset((0xC0, 0xC1, 0xC2))
#: Application data, but for those of JFIF and Adobe, which say what the numbers mean; and comments.
_NOTES = (frozenset(range(0xE0, 0xF0)) - {0xE0, 0xEE}) | {0xFE}
#: After compressed data: not a stuffed byte, a restart or a fill byte.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def _orientation_noted(data: bytes) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _orientation(Image.open(io.BytesIO(data), formats=("JPEG",))) != 1
    except Exception:  # As in `decode`, which tells what is wrong.
        return True


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


def _has_frames(image: ImageFile.ImageFile) -> bool:
    if image.format in ("JPEG", "MPO"):
        # A JPEG of several frames (MPO) is a photograph with a preview, not an animation.
        return False
    # Not `n_frames`, which reads them all: a TIFF may have a million.
    return getattr(image, "is_animated", False) or image.get_format_mimetype() == "image/apng"


def _foreign_to_requests(image: Image.Image, data: bytes, name: str) -> str:
    """Names an encoding that a served model refuses; the same rules as `hfmnas_keras.data.picture_headers`."""
    width, height = image.size
    if width * height > MAX_PIXELS or len(data) > MAX_BYTES:
        return "larger than a request may be"
    if image.format == "BMP":
        header, bits, compression = (int.from_bytes(data[at : at + size], "little") for at, size in _BMP_FIELDS)
        return "" if header >= 40 and bits == 24 and compression == 0 else f"BMP of {bits} bits"
    if image.format == "PNG" and "transparency" in image.info:
        # At fixed places of the header.
        bits, is_grey = data[24], data[25] == 0
        if bits == 16:
            # Pillow does not look for it, or looks at 8 of the 16 bits.
            raise PictureError("unsupported_image_format", f"{name} is a PNG with a transparent colour of 16 bits")
        return f"PNG with a transparent grey of {bits} bits" if is_grey and bits in (2, 4) else ""
    return "" if image.format in ("PNG", "JPEG", "MPO") else str(image.format)


_BMP_FIELDS = ((14, 4), (28, 2), (30, 4))


def _orientation(image: Image.Image) -> int:
    """Reads how a camera was held; Pillow itself turns a TIFF."""
    notes = Image.Exif()
    try:
        if image.format != "TIFF":
            notes.load(image.info.get("exif") or b"")
        return notes.get(_ORIENTATION_TAG) or 1
    except Exception:  # Pillow raises what its parser meets; a picture with broken notes is a picture.
        return 1


def _unidentified(data: bytes, name: str) -> PictureError:
    """Tells a format that is not taken from bytes that are no picture at all."""
    if not data:
        return PictureError("unreadable_image", f"{name} is empty")
    heif = data[4:12] in (b"ftypheic", b"ftypmif1", b"ftypavif", b"ftypheix")
    if heif or data.startswith(_OTHER_FORMATS):
        return PictureError("unsupported_image_format", f"{name} is none of {', '.join(FORMATS)}")
    return PictureError("unreadable_image", f"{name} is no picture of the formats {', '.join(FORMATS)}")


#: How files of formats begin that are known and not taken.
_OTHER_FORMATS = (
    *(b"%!PS", b"8BPS", b"<svg", b"<?xml", b"II*\0", b"\0\0\1\0", b"P4", b"P5", b"P6"),
    *(b"icns", b"%PDF", b"qoif", b"DDS "),
    # JPEG 2000, as a file of boxes and as the bare stream.
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)


def _eight_bits(grey: np.ndarray, sixteen_bits: bool) -> Image.Image:
    """Scales greys to 8 bits, where Pillow's own conversion would clip them.

    32-bit and floating point files do not say what white is: the smallest usual white that holds all values is taken.
    """
    if not np.isfinite(grey).all():
        raise ValueError("the picture holds numbers that are not finite")
    brightest = grey.max(initial=0.0)
    white = 65535.0 if sixteen_bits else next((top for top in (1.0, 255.0, 65535.0) if brightest <= top), brightest)
    return Image.fromarray(np.clip(np.round(grey * (255.0 / white)), 0, 255).astype(np.uint8))
