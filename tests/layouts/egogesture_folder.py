"""Writes folders in the layout of EgoGesture: a JPEG a frame, colour and depth, and a table of segments a video.

Everything is made up, small and quick to encode. To train on:

>>> egogesture_folder.write_folder(tmp_path, number=240)    # a few seconds; 144 train, 36 dev, 60 test

and read it with `EgoGestureSource(data_root, classes=egogesture_folder.CLASSES)`. The four gestures are two times two:
depth shows which half a gesture is in (something near, or far), the colour shows which of the two it is (red, or blue),
so that neither modality is enough and both together are.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

#: The four gestures of `write_folder`, by what shows: (near, red), (near, blue), (far, red), (far, blue).
CLASSES = ("Scroll hand towards right", "Scroll hand downward", "Static fist", "Walk")
NUMBERS = (1, 3, 21, 49)
SUBJECTS = {"train": (3, 4, 5, 6, 8, 10), "dev": (1, 7, 12), "test": (2, 9, 11, 14, 18)}
LABELS = "labels-final-revised1"
WIDTH, HEIGHT = 64, 48
SEGMENTS_PER_VIDEO = 8


def learnable_segments(number: int, gestures: int = len(NUMBERS)) -> list[tuple[str, tuple[int, int, int], int]]:
    """Returns `(split, (subject, scene, group), which gesture)` of so many segments: 60, 15 and 25 per cent.

    Each split has every gesture from five segments a gesture on.
    """
    used = dict.fromkeys(SUBJECTS, 0)
    turns = -(-number // gestures)
    segments = []
    for segment in range(number):
        turn, index = divmod(segment, gestures)
        place = turn * 20 // turns if turns < 20 else turn % 20
        split = "train" if place < 12 else "dev" if place < 15 else "test"
        video, subjects = used[split] // SEGMENTS_PER_VIDEO, SUBJECTS[split]
        used[split] += 1
        subject, rest = subjects[video % len(subjects)], video // len(subjects)
        segments.append((split, (subject, 1 + rest % 6, 1 + rest // 6), index))
    return segments


def write_folder(
    folder: pathlib.Path,
    number: int = 80,
    seed: int = 0,
    images: str = "images",
    gestures: Sequence[int] = NUMBERS,
) -> pathlib.Path:
    """Writes so many segments that can be learnt; returns the data root.

    Args:
        folder: path.
        number: int. Of segments.
        seed: int.
        images: str. Folder of the subjects, `""` for none.
        gestures: sequence of int. Numbers of the gestures. Of more than four, those four apart look the same.
    """
    folder = pathlib.Path(folder)
    lines: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}
    last = {}
    for segment, (_, video, index) in enumerate(learnable_segments(number, len(gestures))):
        generator = np.random.default_rng([seed, segment])
        start = last.get(video, 0) + int(generator.integers(1, 4))
        last[video] = start + int(generator.integers(8, 12)) - 1
        lines.setdefault(video, []).append((gestures[index], start, last[video]))
        for step, frame in enumerate(range(start, last[video] + 1)):
            write_frame(folder, video, frame, *learnable_frame(index, step, generator), images=images)
    for (subject, scene, group), segments in lines.items():
        write_table(folder, (subject, scene, group), [",".join(map(str, line)) for line in segments])
    return folder


def learnable_frame(index: int, step: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Colour, uint8 `(height, width, 3)`, and depth, uint8 `(height, width)`, of a frame of one of `CLASSES`."""
    far, blue = index // 2 % 2, index % 2
    colour = generator.integers(70, 120, (HEIGHT, WIDTH, 3))
    depth = generator.integers(100, 110, (HEIGHT, WIDTH))
    top, left = (4 + step, 24) if blue else (16, 4 + 2 * step)
    colour[top : top + 16, left : left + 16] = (30, 40, 220) if blue else (220, 40, 30)
    # Depth goes the same way in all gestures, or it would show red and blue too.
    depth[8 + step : 24 + step, 16 + step : 32 + step] = 200 if far else 40
    return colour.astype(np.uint8), depth.astype(np.uint8)


def write_table(
    folder: pathlib.Path, video: tuple[int, int, int], lines: Sequence[str], name: str | None = None
) -> pathlib.Path:
    """Writes the table of a video; `name` stands for `Group<number>.csv`."""
    subject, scene, group = video
    path = pathlib.Path(folder) / LABELS / f"subject{subject:02d}" / f"Scene{scene}" / (name or f"Group{group}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def frame_path(
    folder: pathlib.Path, video: tuple[int, int, int], frame: int, kind: str, images: str = "images"
) -> pathlib.Path:
    """Where a frame belongs; `kind` is `"Color"` or `"Depth"`."""
    subject, scene, group = video
    prefix = {"Color": "rgb", "Depth": "depth"}[kind]
    scene_folder = pathlib.Path(folder) / images / f"Subject{subject:02d}" / f"Scene{scene}"
    return scene_folder / kind / f"{prefix}{group}" / f"{frame:06d}.jpg"


def write_frame(
    folder: pathlib.Path,
    video: tuple[int, int, int],
    frame: int,
    colour: np.ndarray,
    depth: np.ndarray,
    images: str = "images",
) -> None:
    """Writes a colour frame, uint8 `(height, width, 3)`, and a depth frame, uint8 `(height, width)`."""
    for kind, pixels in (("Color", colour), ("Depth", depth)):
        path = frame_path(folder, video, frame, kind, images)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=95)
