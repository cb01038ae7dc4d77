"""Numbers of one row of one modality, for a linear model: no network, no pre-training."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from hfmnas_keras.data.modalities import SKELETON_FRAME

_SIDE = 64
_CELLS, _ORIENTATIONS, _COLOURS, _THUMBNAIL = 8, 9, 4, 8
#: Frames of a clip or skeleton that are looked at, evenly over all of it.
_FRAMES = 8


def text_of_row(value: bytes) -> str:
    """A text as it is; `TextFeatures` makes numbers of it."""
    return value.decode("utf-8", errors="replace")


def numbers_of_picture(encoded: bytes) -> np.ndarray:
    """Gradients, colours and a thumbnail of a picture, scaled to 64 x 64.

    Args:
        encoded: bytes. A picture, such as the ingest stores it; of none, empty, all numbers are 0.

    Returns:
        float32 array `(8 * 8 * 9 + 64 + 8 * 8 * 3,)`: histograms of oriented gradients in 8 x 8 cells, histogram of the
        colours in 4 levels a channel, the mean colour of 8 x 8 cells. Each of the three parts has unit length; the
        histograms' roots are taken before.
    """
    if not encoded:
        return np.zeros(_CELLS**2 * _ORIENTATIONS + _COLOURS**3 + 3 * _THUMBNAIL**2, "float32")
    # (64, 64, 3)
    pixels = _decoded(encoded, "RGB", _SIDE)
    vertical, horizontal = np.gradient(pixels.mean(axis=-1))
    orientation = (np.arctan2(vertical, horizontal) % np.pi / np.pi * _ORIENTATIONS).astype(int) % _ORIENTATIONS
    by_orientation = np.hypot(vertical, horizontal)[..., None] * (orientation[..., None] == np.arange(_ORIENTATIONS))
    levels = pixels.astype(int) * _COLOURS // 256
    codes = (levels[..., 0] * _COLOURS + levels[..., 1]) * _COLOURS + levels[..., 2]
    parts = [
        np.sqrt(_cells(by_orientation, _CELLS).ravel()),
        np.sqrt(np.bincount(codes.ravel(), minlength=_COLOURS**3)),
        _cells(pixels, _THUMBNAIL).ravel() / 255.0 - 0.5,
    ]
    return np.concatenate([part / max(np.linalg.norm(part), 1e-9) for part in parts]).astype("float32")


def numbers_of_clip(frames: Sequence[bytes]) -> np.ndarray:
    """Grey thumbnails of eight frames and how they change.

    Args:
        frames: sequence of bytes, at least one. Pictures in the order of time.

    Returns:
        float32 array `(8 * 64 + 7 * 64,)`, from 0 to 1.
    """
    thumbnails = np.stack(
        [_decoded(frames[place], "L", _THUMBNAIL).ravel() / 255.0 for place in _evenly(len(frames))]
    ).astype("float32")
    return np.concatenate([thumbnails.ravel(), np.abs(np.diff(thumbnails, axis=0)).ravel()])


def numbers_of_skeleton(joints: np.ndarray) -> np.ndarray:
    """Where the joints are in eight frames, from the first body's centre on, and how far they move.

    Args:
        joints: float array `(frames, 2, 25, 3)`, or its numbers in one row, in metres. An absent body is zeros.

    Returns:
        float32 array `(9 * 150,)`: eight times 150 places, and the deviation of each over all frames.
    """
    frames = np.asarray(joints, "float32").reshape(-1, *SKELETON_FRAME)
    seen = (frames != 0).any(axis=(2, 3))
    if seen.any():
        frames, seen = frames[seen.any(axis=1)], seen[seen.any(axis=1)]
        centre = frames[int(seen[:, 0].argmax()), 0, 1]
        frames = np.where(seen[:, :, None, None], frames - centre, 0.0)
    flat = frames.reshape(len(frames), -1)
    return np.concatenate([flat[_evenly(len(flat))].ravel(), flat.std(axis=0)]).astype("float32")


#: What a linear model reads of a row's raw value, by modality; of a text, the text.
ROW_FEATURES: dict[str, Callable[[Any], Any]] = {
    "text": text_of_row,
    "image": numbers_of_picture,
    "skeleton": numbers_of_skeleton,
    "depth": numbers_of_clip,
    "video": numbers_of_clip,
}


def _decoded(encoded: bytes, mode: str, side: int) -> np.ndarray:
    """Pixels `(side, side)` or `(side, side, 3)`, uint8, each the mean of those that it covers."""
    with warnings.catch_warnings():
        # The ingest has looked at the size already.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(io.BytesIO(encoded), formats=("PNG", "JPEG"))
        # A JPEG is decoded no larger than it has to be.
        image.draft(mode, (side, side))
        return np.asarray(image.convert(mode).resize((side, side), Image.Resampling.BOX))


def _cells(pixels: np.ndarray, cells: int) -> np.ndarray:
    """Means over `cells` x `cells` parts of `(height, width, channels)`."""
    side, channels = len(pixels) // cells, pixels.shape[-1]
    return pixels.reshape(cells, side, cells, side, channels).mean(axis=(1, 3))


def _evenly(length: int) -> np.ndarray:
    """The middle frame of each of eight equal parts, as Transform takes them."""
    return (2 * np.arange(_FRAMES) + 1) * length // (2 * _FRAMES)
