"""A tiny data set that can be learnt from either modality: coloured shapes and what is said about them."""

from __future__ import annotations

import json
import pathlib

import numpy as np
from PIL import Image

CLASSES = ("blue_square", "green_stripes", "red_disc")
_COLOURS = {"blue_square": (40, 60, 220), "green_stripes": (40, 200, 60), "red_disc": (220, 50, 40)}
_WORDS = {
    "blue_square": ("sky", "ocean", "berry"),
    "green_stripes": ("grass", "forest", "lime"),
    "red_disc": ("rose", "fire", "tomato"),
}


#: Rows without a text, and rows without a picture: two of train and one of dev each.
LACKING = {"text": (0, 3, 14), "image": (1, 4, 15)}


def write_shapes(
    folder: pathlib.Path,
    rows: int = 120,
    size: int = 16,
    seed: int = 0,
    shuffled: bool = False,
    lacking: bool = False,
) -> str:
    """Writes pictures and a manifest, and returns the manifest's path.

    Args:
        folder: made when missing.
        rows: int. Splits are 70, 15 and 15 %.
        size: int. Height and width of the pictures.
        seed: int.
        shuffled: bool. Whether the labels say nothing about pictures and words.
        lacking: bool. Whether some rows lack a text or a picture, see `LACKING`.
    """
    generator = np.random.default_rng(seed)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    labels = [CLASSES[row % len(CLASSES)] for row in range(rows)]
    shown = [labels[row] for row in generator.permutation(rows)] if shuffled else labels
    lines = []
    for row in range(rows):
        name = f"pictures/{row}.png"
        Image.fromarray(_picture(shown[row], size, generator)).save(folder / name)
        words = [*generator.choice(_WORDS[shown[row]], 2), *generator.choice(["a", "nice", "thing", "here"], 2)]
        split = "train" if row % 20 < 14 else "dev" if row % 20 < 17 else "test"
        lines.append({"id": f"row-{row}", "split": split, "text": " ".join(words), "image": name, "label": labels[row]})
    for column, numbers in (LACKING if lacking else {}).items():
        for number in numbers:
            lines[number][column] = ""
    manifest = folder / "shapes.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(manifest)


def _picture(label: str, size: int, generator: np.random.Generator) -> np.ndarray:
    picture = generator.integers(200, 256, (size, size, 3))
    rows, columns = np.mgrid[:size, :size]
    if label == "red_disc":
        inside = (rows - size / 2) ** 2 + (columns - size / 2) ** 2 < (size / 3) ** 2
    elif label == "blue_square":
        inside = (abs(rows - size / 2) < size / 3) & (abs(columns - size / 2) < size / 3)
    else:
        inside = rows // 2 % 2 == 0
    picture[inside] = np.clip(np.array(_COLOURS[label]) + generator.integers(-30, 30, 3), 0, 255)
    return picture.astype("uint8")
