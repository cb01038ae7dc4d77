"""Writes folders in the layout of NTU RGB+D: `nturgb+d_rgb/<clip>_rgb.avi`, `nturgb+d_skeletons/<clip>.skeleton`.

Everything is made up, small and quick to encode. To train on:

>>> ntu_folder.write_folder(tmp_path, number=240)    # a few seconds; 144 train, 36 dev, 60 test in the split "paper"

and read it with `NtuSource(data_root, classes=ntu_folder.CLASSES)`. The four actions are two times two: the skeleton
shows which half an action is in (a hand goes up and down once, or three times), the video shows which of the two it is
(a red square goes right, or a blue one goes down), so that neither modality is enough and both together are.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import av
import numpy as np

#: The four actions of `write_folder`, by what shows: (slow, red), (slow, blue), (fast, red), (fast, blue).
CLASSES = ("drink water", "sitting down", "hand waving", "handshaking")
NUMBERS = (1, 8, 23, 58)
#: Of the split "paper".
SUBJECTS = {
    "train": (1, 8, 15, 17, 19, 27, 31, 35),
    "dev": (2, 5, 9, 14),
    "test": (3, 6, 7, 10, 11, 12, 20, 21, 22, 23, 24, 26, 29, 30, 32, 33, 36, 37, 39, 40),
}
RGB, SKELETONS = "nturgb+d_rgb", "nturgb+d_skeletons"
#: A made-up person who faces the sensor: x, y and z of 25 joints, some two metres away.
BODY = np.array(
    [(0.06 * (joint % 5 - 2), 0.9 - 0.07 * joint, 2.5 + 0.01 * (joint % 3)) for joint in range(25)], np.float64
)
HAND = 11
ZERO_ID = 72057594037931101


def clip_name(setup: int, camera: int, performer: int, replication: int, action: int) -> str:
    """Returns for example `S001C002P003R002A013`."""
    return f"S{setup:03d}C{camera:03d}P{performer:03d}R{replication:03d}A{action:03d}"


def learnable_clips(number: int, actions: Sequence[int] = NUMBERS) -> list[tuple[str, str, int]]:
    """Returns `(name, split, which of the actions)` of so many clips: 60, 15 and 25 per cent in the split "paper".

    Each split has every action from five clips an action on.
    """
    used = dict.fromkeys(((split, index) for split in SUBJECTS for index in range(len(actions))), 0)
    turns = -(-number // len(actions))
    clips = []
    for clip in range(number):
        turn, index = divmod(clip, len(actions))
        place = turn * 20 // turns if turns < 20 else turn % 20
        split = "train" if place < 12 else "dev" if place < 15 else "test"
        count = used[split, index]
        used[split, index] += 1
        performers = SUBJECTS[split]
        performer, rest = performers[count % len(performers)], count // len(performers)
        name = clip_name(1 + rest // 6, 1 + rest % 3, performer, 1 + rest // 3 % 2, actions[index])
        clips.append((name, split, index))
    return clips


def write_folder(
    folder: pathlib.Path,
    number: int = 80,
    seed: int = 0,
    codec: str = "mjpeg",
    actions: Sequence[int] = NUMBERS,
) -> pathlib.Path:
    """Writes so many clips; returns the data root. Of more than four actions, those four apart look the same."""
    folder = pathlib.Path(folder)
    for clip, (name, _, index) in enumerate(learnable_clips(number, actions)):
        generator = np.random.default_rng([seed, clip])
        write_video(video_path(folder, name), learnable_frames(index % 2, generator), codec)
        write_skeleton(skeleton_path(folder, name), learnable_bodies(index // 2 % 2, generator))
    return folder


def video_path(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where a clip's video belongs."""
    return pathlib.Path(folder) / RGB / f"{name}_rgb.avi"


def skeleton_path(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where a clip's skeleton belongs."""
    return pathlib.Path(folder) / SKELETONS / f"{name}.skeleton"


def learnable_frames(blue: int, generator: np.random.Generator) -> np.ndarray:
    """A square on noise; red and going right, or blue and going down. uint8 `(frames, 48, 64, 3)`."""
    frames = generator.integers(70, 120, (int(generator.integers(10, 16)), 48, 64, 3))
    for step, frame in enumerate(frames):
        go = 2 * step
        top, left = (4 + go, 24) if blue else (18, 4 + go)
        frame[top : top + 14, left : left + 14] = (30, 40, 220) if blue else (220, 40, 30)
    return frames.astype(np.uint8)


def learnable_bodies(fast: int, generator: np.random.Generator) -> list[list[tuple[int, np.ndarray]]]:
    """One person whose hand goes up and down once or three times, in bodies by frame for `skeleton_text`."""
    num_frames = int(generator.integers(20, 30))
    place = generator.normal(0, 0.2, 3)
    bodies = []
    for step in range(num_frames):
        joints = BODY + place + generator.normal(0, 0.005, BODY.shape)
        joints[HAND, 1] += 0.6 * np.sin(np.pi * (1 + 2 * fast) * step / num_frames)
        bodies.append([(ZERO_ID, joints)])
    return bodies


def write_video(path: pathlib.Path, frames: np.ndarray, codec: str = "mjpeg") -> None:
    """Encodes uint8 frames `(frames, height, width, 3)`, RGB, as an AVI of nearly no loss."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.qmin, stream.codec_context.qmax = 1, 2
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def skeleton_text(bodies: list[list[tuple[int, np.ndarray]]]) -> str:
    """Writes the text of a `.skeleton` file.

    Args:
        bodies: for each frame a list of `(body id, joints (25, 3))`; may be empty.
    """
    lines = [str(len(bodies))]
    for frame in bodies:
        lines.append(str(len(frame)))
        for body_id, joints in frame:
            lines += [f"{body_id} 0 1 1 0 1 0 -0.0213 0.1325 2", str(len(joints))]
            for x, y, z in joints:
                depth, colour = (256 + 365 * x / z, 212 - 365 * y / z), (960 + 1060 * x / z, 540 - 1060 * y / z)
                flat = " ".join(f"{value:.4f}" for value in (*depth, *colour))
                lines.append(f"{x:.7g} {y:.7g} {z:.7g} {flat} 0.2 -0.01 0.9 0.03 2")
    return "\n".join(lines) + "\n"


def write_skeleton(path: pathlib.Path, bodies: list[list[tuple[int, np.ndarray]]]) -> None:
    """Writes a `.skeleton` file."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(skeleton_text(bodies))
