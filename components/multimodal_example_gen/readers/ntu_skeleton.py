"""Reads the `.skeleton` files of NTU RGB+D and chooses the two main bodies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from components.multimodal_example_gen.readers.video_frames import even_indices
from components.multimodal_example_gen.row import SkipRowError

BODIES, JOINTS, COORDINATES = 2, 25, 3
#: A clip has some 80 frames, at most about 300, of some 4,000 bytes a body.
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_FILE_FRAMES = 10_000
#: Kinect 2 tracks six.
MAX_FILE_BODIES = 16
#: Kinect 2 sees eight metres far. A coordinate beyond this is an error of the sensor, as one that is not finite is.
MAX_METRES = 100.0
#: A body seen in no more frames than this is noise, as in CTR-GCN.
SHORTEST_TRACK = 11
#: A body is furniture when in more than this share of its frames it is wider than this part of its height (CTR-GCN).
WIDE_SHARE, WIDE_RATIO = 0.69754, 0.8

_BODY_FIELDS, _JOINT_FIELDS = 10, 12


@dataclasses.dataclass(frozen=True)
class BodyTrack:
    """One body of a clip, followed by its tracking id.

    Args:
        frames: int array `(seen,)`. In which frames it was seen, increasing.
        joints: float64 array `(seen, 25, 3)`. As in the file: what is not finite is still there.
    """

    frames: np.ndarray
    joints: np.ndarray


def read_tracks(data: bytes) -> tuple[int, list[BodyTrack]]:
    """Parses a whole `.skeleton` file.

    Line by line: the number of frames; for each frame the number of bodies, which may be 0; for each body a line of 10
    fields, the first of which is the tracking id, the number of joints, 25, and as many lines of 12 fields, the first
    three of which are x, y and z in metres. The other fields are counted and not read.

    Args:
        data: bytes. The file.

    Returns:
        tuple of the number of frames, and the bodies in the order of their first appearance.

    Raises:
        SkipRowError: with the reason `truncated_skeleton` or `broken_skeleton`; the detail names the line.
    """
    # Python reads "1_0" as ten.
    lines = _Lines(data.replace(b"_", b"?"))
    num_frames = lines.count("the number of frames", MAX_FILE_FRAMES)
    seen: dict[bytes, tuple[list[int], list[list[list[float]]]]] = {}
    for frame in range(num_frames):
        for _ in range(lines.count("the number of bodies", MAX_FILE_BODIES)):
            body_id = lines.fields("a body", _BODY_FIELDS)[0]
            num_joints = lines.count("the number of joints", JOINTS)
            if num_joints != JOINTS:
                raise lines.broken(f"the body has {num_joints} joints, expected {JOINTS}")
            joints = [lines.numbers("a joint", _JOINT_FIELDS, COORDINATES) for _ in range(JOINTS)]
            frames, positions = seen.setdefault(body_id, ([], []))
            if frames and frames[-1] == frame:
                raise lines.broken("the frame has the same body twice")
            frames.append(frame)
            positions.append(joints)
    lines.end()
    return num_frames, [BodyTrack(np.array(frames), np.array(positions)) for frames, positions in seen.values()]


def two_bodies(tracks: list[BodyTrack]) -> np.ndarray:
    """Chooses the two main bodies of a clip and makes every number finite.

    1. *Numbers.* A joint that is not finite, or further than `MAX_METRES` from the sensor, is interpolated in time
       between its good neighbours in the same body; before the first and after the last it stays where they are. A
       body one joint of which is never good is left out.
    2. *Noise.* Bodies that were seen in at most `SHORTEST_TRACK` frames are left out, then those that are wide instead
       of tall (the sensor takes tables and seats for bodies): more than `WIDE_SHARE` of their frames with an x spread
       above `WIDE_RATIO` of the y spread. Neither rule leaves out the last body that there is.
    3. *Order.* By motion, largest first: the variances of x, of y and of z over all joints and frames, added up (the
       data set's authors' own rule). Ties: more frames first, then the earlier in the file.
    4. *Places.* In that order each body takes the first of the two places that is free in all its frames: somebody who
       was lost and found again under another id stays one person. A body that finds none is left out.
    5. *Frames.* Those in which no chosen body was seen are dropped. Where the first place is empty beside the second,
       it is interpolated in time, so that a first body is always there; where the second is empty it is all zeros.

    Args:
        tracks: list of `BodyTrack`.

    Returns:
        float32 array `(frames, 2, 25, 3)`.

    Raises:
        SkipRowError: with the reason `no_body` when nothing is left.
    """
    cleaned = [track for track in map(_finite, tracks) if track is not None]
    if not cleaned:
        raise SkipRowError("no_body", f"none of {len(tracks)} bodies has all its joints")
    cleaned = [track for track in cleaned if len(track.frames) > SHORTEST_TRACK] or cleaned
    cleaned = [track for track in cleaned if not _is_wide(track)] or cleaned
    places: tuple[list[BodyTrack], ...] = tuple([] for _ in range(BODIES))
    # Sorting is stable: what is equal in both stays in the file's order.
    for track in sorted(cleaned, key=lambda track: (-_motion(track), -len(track.frames))):
        for place in places:
            if not any(np.isin(track.frames, other.frames).any() for other in place):
                place.append(track)
                break
    kept = np.unique(np.concatenate([track.frames for place in places for track in place]))
    skeleton = np.zeros((len(kept), BODIES, JOINTS, COORDINATES), np.float64)
    for body, place in enumerate(places):
        if place:
            frames = np.concatenate([track.frames for track in place])
            order = np.argsort(frames)
            joints = np.concatenate([track.joints for track in place])[order]
            if body == 0:
                skeleton[:, 0] = _interpolated(kept, frames[order], joints)
            else:
                skeleton[np.searchsorted(kept, frames[order]), body] = joints
    return skeleton.astype(np.float32)


def read_skeleton(data: bytes, max_frames: int) -> np.ndarray:
    """Reads a `.skeleton` file to what the example holds.

    Args:
        data: bytes. The file.
        max_frames: int. Longer clips are sampled evenly, see `even_indices`.

    Returns:
        float32 array `(frames, 2, 25, 3)`: x, y and z in metres in the sensor's space, all finite; the second body is
        all zeros where there is none.

    Raises:
        SkipRowError: with the reason `truncated_skeleton`, `broken_skeleton` or `no_body`.
    """
    _, tracks = read_tracks(data)
    skeleton = two_bodies(tracks)
    return skeleton[even_indices(len(skeleton), max_frames)]


class _Lines:
    """The lines of a file one after the other, with the line's number for messages."""

    def __init__(self, data: bytes):
        self._lines: Iterator[bytes] = iter(data.split(b"\n"))
        self._number = 0

    def broken(self, what: str) -> SkipRowError:
        return SkipRowError("broken_skeleton", f"line {self._number}: {what}")

    def fields(self, what: str, number: int) -> list[bytes]:
        self._number += 1
        fields = next(self._lines, b"").split()
        if len(fields) == number:
            return fields
        place = self._number
        # A line too short with nothing behind it is where the file was cut.
        if len(fields) < number and not any(line.strip() for line in self._lines):
            raise SkipRowError("truncated_skeleton", f"the file ends at line {place}, expected {what}")
        raise self.broken(f"{len(fields)} fields, expected {number} of {what}")

    def count(self, what: str, at_most: int) -> int:
        (field,) = self.fields(what, 1)
        # Digits alone, and few: no sign, no number of a million digits.
        if not field.isdigit() or len(field) > 9:
            raise self.broken(f"no number, expected {what}")
        if int(field) > at_most:
            raise self.broken(f"{what} is {int(field)}, at most {at_most} are read")
        return int(field)

    def numbers(self, what: str, fields: int, number: int) -> list[float]:
        try:
            return [float(field) for field in self.fields(what, fields)[:number]]
        except SkipRowError:
            raise
        except ValueError as error:
            raise self.broken(f"no number among the coordinates of {what}") from error

    def end(self) -> None:
        for line in self._lines:
            self._number += 1
            if line.strip():
                raise self.broken("the file goes on after its last frame")


def _finite(track: BodyTrack) -> BodyTrack | None:
    """Rule 1 of `two_bodies`."""
    # Comparisons with what is no number are false.
    good = (np.abs(track.joints) <= MAX_METRES).all(axis=-1)
    if good.all():
        return track
    if not good.any(axis=0).all():
        return None
    joints = track.joints.copy()
    for joint in np.flatnonzero(~good.all(axis=0)):
        at = good[:, joint]
        joints[:, joint] = _interpolated(track.frames, track.frames[at], track.joints[at, joint])
    return BodyTrack(track.frames, joints)


def _interpolated(wanted: np.ndarray, frames: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Interpolates values `(frames, ...)` linearly at the wanted frames; the ends stay where they are."""
    flat = values.reshape(len(frames), -1)
    columns = [np.interp(wanted, frames, column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(len(wanted), *values.shape[1:])


def _is_wide(track: BodyTrack) -> bool:
    spread = np.ptp(track.joints, axis=1)
    return bool(np.mean(spread[:, 0] > WIDE_RATIO * spread[:, 1]) > WIDE_SHARE)


def _motion(track: BodyTrack) -> float:
    return float(track.joints.reshape(-1, COORDINATES).var(axis=0).sum())
