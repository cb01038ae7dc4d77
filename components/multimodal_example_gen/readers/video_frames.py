"""Decodes clips in a process of its own: C code meets bytes of strangers here, and when it dies it dies alone.

`readers.limited_process` serves `answer` of this file. It imports nothing of this project and
no TensorFlow, so that it starts in a fraction of a second; PyAV (extra `video`) and Pillow alone.
"""

from __future__ import annotations

import contextlib
import io
from typing import Any

#: Demuxer of the data set's files. Named, so that a file cannot choose: a playlist would open other files.
CONTAINER = "avi"
#: What AVI files of this data set hold, as published and as others convert them.
CODECS = ("mpeg4", "h264", "mjpeg")
#: 4096 x 2304; the data have 1920 x 1080.
MAX_PIXELS = 4096 * 2304
#: More than five minutes at 30 frames a second; clips have some hundred frames.
MAX_FRAMES = 10_000
#: So much of a clip may be lost before it is no longer the same clip.
LARGEST_LOSS = 0.1
#: What the process may take in memory.
MAX_MEMORY = 4 << 30
#: Of PyAV.
_FIRST_LENIENT_VERSION = 19


class VideoError(Exception):
    """A clip that cannot be used.

    Args:
        reason: str. See `components.multimodal_example_gen.row.Skip`.
        detail: str. See there.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def even_indices(count: int, at_most: int) -> list[int]:
    """Chooses frames of a clip, evenly from the first to the last.

    In whole numbers, so that every machine chooses the same. The last index is `count - 1`: a `linspace` up to `count`
    names a frame that is not there.

    Args:
        count: int. Frames of the clip.
        at_most: int. Two or more.

    Returns:
        list of int, strictly increasing: all indices where `count <= at_most`, else `at_most` of them.

    Example:
    >>> even_indices(10, 4)
    [0, 3, 6, 9]
    """
    if count <= at_most:
        return list(range(count))
    # Rounds index * (count - 1) / (at_most - 1) to the nearest.
    return [(2 * index * (count - 1) + at_most - 1) // (2 * (at_most - 1)) for index in range(at_most)]


def decode(path: str, max_frames: int, short_side: int, quality: int) -> list[bytes]:
    """Reads frames of a clip, evenly from the first to the last that can be decoded.

    Packets are counted first, which is cheap, and frames are chosen by that count. Where fewer come out of the decoder
    they are chosen again among those that do, unless more than `LARGEST_LOSS` of the clip is lost: packets that the
    decoder refuses, frames that it marks as corrupt, and what the file's header promises and the file lacks.

    Args:
        path: str. An AVI file.
        max_frames: int. Two or more.
        short_side: int. Larger frames are scaled down until their shorter side has so many pixels.
        quality: int. Of the JPEGs.

    Returns:
        list of 1 to `max_frames` bytes: RGB JPEGs of one size, in the order of time.

    Raises:
        VideoError: with one of the reasons `unreadable_video`, `unsupported_video`, `video_too_large`,
            `video_too_long`, `broken_video`.
    """
    try:
        packets, promised = _counts(path)
        frames, found = _decoded(path, even_indices(packets, max_frames), short_side, quality)
        expected = max(packets, promised)
        if not found:
            raise VideoError("unreadable_video", f"none of {expected} frames can be decoded")
        if found < (1 - LARGEST_LOSS) * expected:
            raise VideoError("broken_video", f"only {found} of {expected} frames can be decoded")
        if found != packets:
            frames, again = _decoded(path, even_indices(found, max_frames), short_side, quality)
            if again != found:
                raise VideoError("unreadable_video", "the decoder gives other frames when it is asked again")
        return frames
    except (VideoError, ImportError):
        raise
    # A decoder meets bytes of strangers here; what it raises is not a closed list.
    except Exception as error:
        raise VideoError("unreadable_video", f"the decoder says {type(error).__name__}: {error}"[:300]) from error


def answer(**request: Any) -> tuple[dict[str, str], list[bytes]]:
    """Answers a request to decode.

    Args:
        request: arguments of `decode`.

    Returns:
        dict and list of bytes: nothing and the frames, or `reason` and `detail` of a clip that cannot be used, or
        `missing`, the message of the import that failed.
    """
    try:
        return {}, decode(**request)
    except VideoError as error:
        return {"reason": error.reason, "detail": error.detail}, []
    except ImportError as error:
        return {"missing": str(error)}, []


@contextlib.contextmanager
def _opened(path: str) -> Any:
    """Opens the file; yields the container and its first video stream, both within bounds."""
    import av

    # Titles that are not UTF-8 must not cost the clip. Later versions always read them and have no such argument.
    lenient: dict[str, Any] = (
        {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < _FIRST_LENIENT_VERSION else {}
    )
    with av.open(path, format=CONTAINER, **lenient) as container:
        if not container.streams.video:
            raise VideoError("unreadable_video", "the file holds no video")
        stream = container.streams.video[0]
        context = stream.codec_context
        if context is None or context.name not in CODECS:
            name = None if context is None else context.name
            raise VideoError("unsupported_video", f"the codec is {name}, expected one of {', '.join(CODECS)}")
        _check_size(context.width, context.height)
        # The decoder holds to it too, when the size changes within the stream.
        context.options = {"max_pixels": str(MAX_PIXELS)}
        context.thread_type = "NONE"
        context.thread_count = 1
        yield container, stream


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise VideoError("unreadable_video", f"the frames are {width} x {height}")
    if width * height > MAX_PIXELS:
        raise VideoError("video_too_large", f"the frames are {width} x {height}, at most {MAX_PIXELS} pixels are read")


def _counts(path: str) -> tuple[int, int]:
    """Returns how many packets with content there are, and how many frames the header promises."""
    with _opened(path) as (container, stream):
        packets = 0
        for packet in container.demux(stream):
            packets += packet.size > 0
            if packets > MAX_FRAMES:
                raise VideoError("video_too_long", f"more than {MAX_FRAMES} frames")
        return packets, stream.frames


def _decoded(path: str, wanted: list[int], short_side: int, quality: int) -> tuple[list[bytes], int]:
    """Decodes everything; returns the wanted frames as JPEGs, and how many there are."""
    import av

    chosen, frames, found, size = set(wanted), [], 0, None
    with _opened(path) as (container, stream):
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                # Lost, as a frame that is marked as corrupt is.
                continue
            for frame in decoded:
                if frame.is_corrupt:
                    continue
                size = size or (frame.width, frame.height)
                if size != (frame.width, frame.height):
                    raise VideoError(
                        "broken_video", f"the size changes from {size} to {(frame.width, frame.height)} on the way"
                    )
                _check_size(*size)
                if found in chosen:
                    frames.append(_jpeg(frame, short_side, quality))
                found += 1
                if found > MAX_FRAMES:
                    raise VideoError("video_too_long", f"more than {MAX_FRAMES} frames")
    return frames, found


def _jpeg(frame: Any, short_side: int, quality: int) -> bytes:
    scale = min(1.0, short_side / min(frame.width, frame.height))
    width, height = (max(1, round(side * scale)) for side in (frame.width, frame.height))
    image = frame.reformat(width, height, format="rgb24", interpolation="AREA").to_image()
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()
