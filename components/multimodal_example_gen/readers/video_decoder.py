"""Reads clips through a decoder process, which may crash or hang without harm to the worker."""

from __future__ import annotations

import importlib.util
import os

from components.multimodal_example_gen.readers import limited_process, video_frames
from components.multimodal_example_gen.row import SkipRowError

#: Clips of the data set have some ten megabytes.
MAX_FILE_BYTES = 1 << 30
#: A clip takes a second or two. So long that a machine under load does not lose clips, so short that a run goes on.
MAX_SECONDS = 600.0


def check_video_support() -> None:
    """Refuses to start where clips cannot be decoded.

    Raises:
        RuntimeError: names the extra that is missing.
    """
    if importlib.util.find_spec("av") is None:
        raise RuntimeError(_MISSING)


def read_clip(
    path: str, max_frames: int, short_side: int, quality: int, max_seconds: float = MAX_SECONDS
) -> list[bytes]:
    """Reads frames of an AVI file, evenly from the first to the last that can be decoded.

    Args:
        path: str.
        max_frames, short_side, quality: see `components.multimodal_example_gen.readers.video_frames.decode`.
        max_seconds: float. After so long the decoder is given up.

    Returns:
        list of bytes, see there.

    Raises:
        SkipRowError: with a reason of `decode`, or `missing_video`, `video_too_large`, `decoder_crashed`,
            `decoder_timeout`.
        RuntimeError: where PyAV is not installed.
    """
    if not os.path.isfile(path):
        raise SkipRowError("missing_video", f"there is no file {os.path.basename(path)!r}")
    size = os.path.getsize(path)
    if size > MAX_FILE_BYTES:
        raise SkipRowError("video_too_large", f"the file has {size} bytes, at most {MAX_FILE_BYTES} are read")
    request = {"path": path, "max_frames": max_frames, "short_side": short_side, "quality": quality}
    try:
        answer, frames = limited_process.ask(video_frames.__file__, request, max_seconds, video_frames.MAX_MEMORY)
    except limited_process.ProcessDiedError as error:
        raise SkipRowError("decoder_crashed", f"the video decoder ended by {error}") from error
    except limited_process.ProcessStalledError as error:
        raise SkipRowError("decoder_timeout", f"the video decoder took {error}") from error
    if "missing" in answer:
        raise RuntimeError(f"{_MISSING} ({answer['missing']})")
    if "reason" in answer:
        raise SkipRowError(answer["reason"], answer["detail"])
    return frames


_MISSING = "Reading videos needs PyAV. Install the extra: pip install 'hfmnas-keras[video]'."
