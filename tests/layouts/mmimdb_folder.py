"""Writes folders in the layout of MM-IMDB: `split.json`, `dataset/<id>.json`, `dataset/<id>.jpeg`.

Everything is made up. A movie's genres show in the colours of its poster and in the words of its plots, so that a
network can learn them from either.
"""

from __future__ import annotations

import json
import pathlib

import numpy as np
from PIL import Image

GENRES = ("Drama", "Comedy", "Horror", "Western", "Film-Noir")
_COLOURS = {
    "Drama": (200, 40, 40),
    "Comedy": (240, 220, 60),
    "Horror": (30, 90, 30),
    "Western": (170, 110, 50),
    "Film-Noir": (60, 60, 160),
}
_WORDS = {
    "Drama": ("tears", "family", "secret"),
    "Comedy": ("laugh", "wedding", "mistake"),
    "Horror": ("ghost", "cellar", "scream"),
    "Western": ("sheriff", "desert", "cattle"),
    "Film-Noir": ("detective", "shadow", "cigarette"),
}
#: Colour modes that posters come in.
MODES = ("RGB", "L", "CMYK", "RGB")


def movie(number: int, seed: int = 0) -> dict:
    """What the JSON of a movie says: one or two genres, three plots of which the second is the longest, and more."""
    generator = np.random.default_rng([seed, number])
    genres = [GENRES[number % 5]] + ([GENRES[(number + 1 + number // 5 % 4) % 5]] if number % 3 == 0 else [])
    words = [word for genre in genres for word in generator.permutation(_WORDS[genre])]
    return {
        "title": f"Movie {number}",
        "genres": genres,
        "plot": [
            f"A {words[0]}.",
            f"Number {number} tells of {' and '.join(words)}, at some length.::Somebody <s@example.org>",
            f"Of {words[1]} alone.",
        ],
        "plot outline": f"Outline: {words[2]} {number}.",
        "votes": 100 + number,
        "rating": 7.5,
        "cover url": "http://example.org/poster.jpg",
        "country codes": ["us"],
    }


def movie_id(number: int) -> str:
    """Seven digits, with leading zeros."""
    return f"{number * 37 + 1:07d}"


def poster(genres: list[str], number: int, size: tuple[int, int] = (64, 96)) -> Image.Image:
    """A poster (width, height) with one band a genre, and noise."""
    generator = np.random.default_rng([1, number])
    width, height = size
    # The same noise in all channels: JPEG halves the resolution of colours.
    pixels = generator.integers(0, 40, (height, width, 1)).repeat(3, axis=2)
    for band, genre in zip(np.array_split(np.arange(height), len(genres)), genres, strict=True):
        pixels[band] += np.array(_COLOURS[genre]) * 215 // 255
    return Image.fromarray(pixels.astype(np.uint8))


def split_of(number: int) -> str:
    """60, 10 and 30 % of the movies, every genre in each."""
    return ("train", "train", "train", "train", "train", "train", "dev", "test", "test", "test")[number // 5 % 10]


def write_folder(
    folder: pathlib.Path, movies: int = 50, size: tuple[int, int] = (64, 96), modes: tuple[str, ...] = MODES
) -> pathlib.Path:
    """Writes good movies.

    Args:
        folder: made when missing.
        movies: int. At least 50 fill every split.
        size: pair of ints. Width and height of the posters.
        modes: colour modes of the posters, in turn.

    Returns:
        `folder`.
    """
    splits: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    (folder / "dataset").mkdir(parents=True, exist_ok=True)
    for number in range(movies):
        content = movie(number)
        name = movie_id(number)
        splits[split_of(number)].append(name)
        (folder / "dataset" / f"{name}.json").write_text(json.dumps(content, indent=4), encoding="utf-8")
        image = poster(content["genres"], number, size).convert(modes[number % len(modes)])
        image.save(folder / "dataset" / f"{name}.jpeg", quality=90)
    write_splits(folder, splits)
    return folder


def write_splits(folder: pathlib.Path, splits) -> None:
    """Writes `split.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "split.json").write_text(json.dumps(splits), encoding="utf-8")


def read_splits(folder: pathlib.Path) -> dict[str, list[str]]:
    """Reads `split.json`."""
    return json.loads((folder / "split.json").read_text(encoding="utf-8"))
