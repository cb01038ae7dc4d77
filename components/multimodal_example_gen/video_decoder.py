"""Reads clips through a decoder process, which may crash or hang without harm to the worker."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

from components.multimodal_example_gen import video_frames
from components.multimodal_example_gen.row import SkipRowError

#: Clips of the data set have some ten megabytes.
MAX_FILE_BYTES = 1 << 30
#: A clip takes a second or two. So long that a machine under load does not lose clips, so short that a run goes on.
MAX_SECONDS = 600.0

# One process a thread: Beam runs several threads in a worker.
_LOCAL = threading.local()


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
        max_frames, short_side, quality: see `components.multimodal_example_gen.video_frames.decode`.
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
        answer, frames = _asked(request, max_seconds)
    except _DecoderDied:
        # The system may have ended it for want of memory. If it is the clip, it will happen again.
        try:
            answer, frames = _asked(request, max_seconds)
        except _DecoderDied as error:
            raise SkipRowError("decoder_crashed", f"the video decoder ended by {error}") from error
    if "missing" in answer:
        raise RuntimeError(f"{_MISSING} ({answer['missing']})")
    if "reason" in answer:
        raise SkipRowError(answer["reason"], answer["detail"])
    return frames


class _DecoderDied(Exception):
    """The decoder process ended without an answer; the message says by what."""


def _asked(request: dict[str, Any], max_seconds: float) -> tuple[dict[str, Any], list[bytes]]:
    """Sends a request; returns the answer and the frames behind it."""
    decoder = _running_decoder()
    late = threading.Event()

    def give_up() -> None:
        late.set()
        decoder.kill()

    timer = threading.Timer(max_seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        decoder.stdin.write(json.dumps(request).encode() + b"\n")
        decoder.stdin.flush()
        line = decoder.stdout.readline()
        if line.endswith(b"\n"):
            answer = json.loads(line)
            sizes = answer.get("sizes", [])
            frames = [decoder.stdout.read(size) for size in sizes]
            if [len(frame) for frame in frames] == sizes:
                return answer, frames
    except BrokenPipeError:
        # It died before it was asked; what it died of is said below.
        pass
    finally:
        timer.cancel()
    code = decoder.wait()
    _LOCAL.decoder = None
    with contextlib.suppress(BrokenPipeError):
        decoder.stdin.close()
    decoder.stdout.close()
    if late.is_set():
        raise SkipRowError("decoder_timeout", f"the video decoder took more than {max_seconds:g} seconds")
    raise _DecoderDied(signal.Signals(-code).name if code < 0 else f"exit code {code}")


def _running_decoder() -> subprocess.Popen[bytes]:
    """Returns this thread's decoder process, a new one where there is none."""
    if getattr(_LOCAL, "decoder", None) is None:
        # Its standard input ends with this process, and it then ends too.
        _LOCAL.decoder = subprocess.Popen(
            [sys.executable, video_frames.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    return _LOCAL.decoder


_MISSING = "Reading videos needs PyAV. Install the extra: pip install 'hfmnas-keras[video]'."
