"""Writes folders in the layout of HARM-C and HARM-P: JSON lines a split, and a flat folder of pictures.

Everything is made up. The level of harm shows in the colour of the picture and in the words, so that a network can
learn it from either.
"""

from __future__ import annotations

import json
import pathlib

import numpy as np
from PIL import Image

LEVELS = ("not harmful", "somewhat harmful", "very harmful")
_COLOURS = {"not harmful": (60, 200, 90), "somewhat harmful": (230, 160, 40), "very harmful": (190, 30, 60)}
_WORDS = {
    "not harmful": ("kitten", "sunday", "garden"),
    "somewhat harmful": ("grumpy", "mask", "queue"),
    "very harmful": ("villain", "blame", "poison"),
}
_TARGETS = ("individual", "organization", "community", "society")
FILES = {
    "C": {"train": "train", "dev": "val", "test": "test"},
    "P": {"train": "train_v1", "dev": "val_v1", "test": "test_v1"},
}
_PREFIX = {"C": "covid_memes", "P": "memes"}


def level_of(number: int) -> str:
    """Half not harmful, a third somewhat, a sixth very."""
    return LEVELS[(0, 1, 0, 2, 0, 1)[number % 6]]


def split_of(number: int) -> str:
    """70, 10 and 20 %, every level in each."""
    return ("train", "train", "train", "train", "train", "train", "train", "dev", "test", "test")[number // 6 % 10]


def meme(number: int, subset: str) -> dict:
    """One line: `id`, `image`, `labels`, `text`."""
    generator = np.random.default_rng([ord(subset), number])
    level = level_of(number)
    targets = [] if level == "not harmful" else [_TARGETS[number // 6 % 4]]
    name = f"{_PREFIX[subset]}_{number}"
    words = " ".join(generator.permutation(_WORDS[level])[:2])
    return {"id": name, "image": f"{name}.png", "labels": [level, *targets], "text": f"when {words}\nmeme {number}\n"}


def picture(level: str, number: int, size: int = 48) -> Image.Image:
    """A square of the level's colour with noise."""
    noise = np.random.default_rng([2, number]).integers(0, 60, (size, size, 3))
    return Image.fromarray((noise + np.array(_COLOURS[level]) * 195 // 255).astype(np.uint8))


def annotations_folder(folder: pathlib.Path, subset: str) -> pathlib.Path:
    """Where MOMENTA's repository has the annotations."""
    return folder / "HarMeme_V1" / "Annotations" / f"Harm-{subset}"


def write_folder(folder: pathlib.Path, subset: str, memes: int = 60, size: int = 48) -> pathlib.Path:
    """Writes good memes; 60 fill every split.

    Returns:
        `folder`.
    """
    lines: dict[str, list[dict]] = {split: [] for split in FILES[subset]}
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number in range(memes):
        record = meme(number, subset)
        lines[split_of(number)].append(record)
        picture(level_of(number), number, size).save(folder / "images" / record["image"])
    for split, records in lines.items():
        write_lines(folder, subset, split, records)
    return folder


def write_lines(folder: pathlib.Path, subset: str, split: str, records: list, name: str | None = None) -> pathlib.Path:
    """Writes the annotations of a split; text and bytes go in as they are."""
    path = annotations_folder(folder, subset) / f"{name or FILES[subset][split]}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [record if isinstance(record, str | bytes) else json.dumps(record) for record in records]
    path.write_bytes(b"".join((text if isinstance(text, bytes) else text.encode()) + b"\n" for text in texts))
    return path


def read_lines(folder: pathlib.Path, subset: str, split: str) -> list[dict]:
    """Reads the annotations of a split."""
    path = annotations_folder(folder, subset) / f"{FILES[subset][split]}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
