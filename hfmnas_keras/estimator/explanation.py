"""Which words and which parts of a picture decide an answer, by leaving each out (occlusion)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.picture_decoding import each_picture
from hfmnas_keras.export.served_model import ROWS_A_CALL, ServedModel

#: The picture is covered part by part, of so many by so many.
GRID = 4
_MOST_WORDS = 64


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What decides one answer.

    Args:
        label: str. The most probable class.
        score: float. Its probability.
        words: tuple of pairs: a word of the text, and by how much the probability falls without it.
        regions: array `(GRID, GRID)`: by how much it falls with that part of the picture in its mean colour.
        beliefs: dict from modality to what it alone says for the class, its belief (docs/method.md, section 1).
        conflict: float. How much the two contradict each other.
    """

    label: str
    score: float
    words: tuple[tuple[str, float], ...]
    regions: np.ndarray
    beliefs: dict[str, float]
    conflict: float

    def __str__(self) -> str:
        words = ", ".join(f"{word} {fall:+.2f}" for word, fall in sorted(self.words, key=lambda pair: -pair[1])[:5])
        rows = "\n".join("  " + " ".join(f"{fall:+.2f}" for fall in row) for row in self.regions)
        return f"{self.label} ({self.score:.2f}); without a word: {words or '(no word)'}; without a part:\n{rows}"


def explain_row(model: ServedModel, text: str, picture: bytes, classes: Sequence[str]) -> Explanation:
    """Explains the answer to one row.

    Args:
        model: `ServedModel` of texts and pictures.
        text: str. Words are parted by blanks; of more than 64, the first 64 are left out one by one.
        picture: bytes of a PNG or JPEG file.
        classes: names of the classes, in the order of the probabilities.

    Raises:
        ValueError: when the picture cannot be read.
    """
    words = text.split()
    shown = words[:_MOST_WORDS]
    texts = [text, *(" ".join(words[:place] + words[place + 1 :]) for place in range(len(shown)))]
    covered = _covered(picture)
    texts += [text] * len(covered)
    pictures = [picture] * (1 + len(shown)) + covered
    parts: list[dict[str, Any]] = [
        model.answers_to({"text": texts[start : start + ROWS_A_CALL], "image": pictures[start : start + ROWS_A_CALL]})
        for start in range(0, len(texts), ROWS_A_CALL)
    ]
    if error := parts[0]["error"][0]:
        raise ValueError(f"The row cannot be explained. {error}")
    probabilities = np.concatenate([part["probabilities"] for part in parts])
    best = int(probabilities[0].argmax())
    falls = probabilities[0, best] - probabilities[1:, best]
    conflict = parts[0]["conflict"][0]
    return Explanation(
        label=classes[best],
        score=float(probabilities[0, best]),
        words=tuple(zip(shown, falls[: len(shown)].tolist(), strict=True)),
        regions=falls[len(shown) :].reshape(GRID, GRID),
        beliefs={
            name.removesuffix("_belief"): float(value[0, best])
            for name, value in parts[0].items()
            if name.endswith("_belief")
        },
        conflict=float(conflict if np.ndim(conflict) == 0 else conflict[best]),
    )


def _covered(picture: bytes) -> list[bytes]:
    encoded = each_picture(tf.constant([picture]), tf.io.encode_png).numpy()[0]
    if not encoded:
        raise ValueError("The picture cannot be read: it must be PNG, JPEG or BMP.")
    pixels = tf.io.decode_png(encoded, channels=3).numpy()
    colour = pixels.reshape(-1, 3).mean(axis=0).round().astype("uint8")
    edges = [np.linspace(0, side, GRID + 1).round().astype(int) for side in pixels.shape[:2]]
    pictures = []
    for top, bottom in zip(edges[0], edges[0][1:], strict=False):
        for left, right in zip(edges[1], edges[1][1:], strict=False):
            part = pixels.copy()
            part[top:bottom, left:right] = colour
            pictures.append(tf.io.encode_png(part).numpy())
    return pictures
