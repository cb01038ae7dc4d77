"""Writes files in the layout of `multimodal_imdb.hdf5`. The movies are those of `mmimdb_folder`."""

from __future__ import annotations

import importlib.util
import json
import pathlib

import h5py
import numpy as np

# Beside this file: another distribution brings a package `tests`.
_spec = importlib.util.spec_from_file_location("mmimdb_folder", pathlib.Path(__file__).with_name("mmimdb_folder.py"))
mmimdb_folder = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(mmimdb_folder)

NAME = "multimodal_imdb.hdf5"
SPLITS = ("train", "dev", "test")
#: In the order of the authors' file.
GENRES = (
    *("Drama", "Comedy", "Romance", "Thriller", "Crime", "Action", "Adventure", "Horror", "Documentary", "Mystery"),
    *("Sci-Fi", "Fantasy", "Family", "Biography", "War", "History", "Music", "Animation", "Musical", "Western"),
    *("Sport", "Short", "Film-Noir"),
)


def order(movies: int) -> list[int]:
    """Numbers of the movies in the order of the rows: train, dev, test."""
    return sorted(range(movies), key=lambda number: SPLITS.index(mmimdb_folder.split_of(number)))


def words_of(number: int) -> list[int]:
    """Word numbers that tell the genres: each has ten of its own, and a common one comes between."""
    movie = mmimdb_folder.movie(number)
    generator = np.random.default_rng([3, number])
    words = []
    for genre in movie["genres"]:
        words += [1, *(10 * (1 + GENRES.index(genre)) + generator.permutation(10)[:3])]
    return [int(word) for word in words]


def pixels_of(number: int, size: tuple[int, int]) -> np.ndarray:
    """The poster as (3, height, width), as the authors' script stores it: for VGG-16, in whole numbers."""
    poster = mmimdb_folder.poster(mmimdb_folder.movie(number)["genres"], number, size)
    red, green, blue = np.moveaxis(np.asarray(poster, np.float32), -1, 0)
    return np.trunc([blue - 103.939, green - 116.779, red - 123.68]).astype(np.int32)


def split_array(ranges: dict[str, tuple[int, int]], sources: tuple[str, ...]) -> np.ndarray:
    """Fuel's table of splits: a line for each split and dataset."""
    lines = [
        (split.encode(), source.encode(), start, stop, h5py.Reference(), True, b".")
        for split, (start, stop) in ranges.items()
        for source in sources
    ]
    return np.array(
        lines,
        dtype=[
            ("split", "S5"),
            ("source", "S12"),
            ("start", np.int64),
            ("stop", np.int64),
            ("indices", h5py.special_dtype(ref=h5py.Reference)),
            ("available", np.bool_, (1,)),
            ("comment", "S1"),
        ],
    )


def write_file(
    folder: pathlib.Path, movies: int = 50, size: tuple[int, int] = (40, 64), with_split: bool = True
) -> pathlib.Path:
    """Writes the file.

    Args:
        folder: made when missing.
        movies: int. At least 50 fill every split.
        size: pair of ints. Width and height; the authors' are 160 and 256.
        with_split: bool. Whether the file says where its splits are.

    Returns:
        Path of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = order(movies)
    rows = len(numbers)
    with h5py.File(folder / NAME, "w") as file:
        ids = [mmimdb_folder.movie_id(number).encode() for number in numbers]
        file.create_dataset("imdb_ids", data=np.array(ids, "S7"))
        genres = [[name in mmimdb_folder.movie(number)["genres"] for name in GENRES] for number in numbers]
        file.create_dataset("genres", data=np.array(genres, np.int32))
        file["genres"].attrs["target_names"] = json.dumps(list(GENRES))
        sequences = file.create_dataset("sequences", (rows,), dtype=h5py.special_dtype(vlen=np.dtype("int32")))
        images = file.create_dataset("images", (rows, 3, size[1], size[0]), dtype="int32")
        for row, number in enumerate(numbers):
            sequences[row] = np.array(words_of(number), np.int32)
            images[row] = pixels_of(number, size)
        # Of what others computed, one dataset with what it may hold: means of no known word.
        features = np.zeros((rows, 300), np.float32)
        features[0] = np.nan
        file.create_dataset("features", data=features)
        if with_split:
            splits = [mmimdb_folder.split_of(number) for number in numbers]
            ranges = {split: (splits.index(split), splits.index(split) + splits.count(split)) for split in SPLITS}
            sources = ("features", "sequences", "images", "imdb_ids", "genres")
            file.attrs["split"] = split_array(ranges, sources)
    return folder / NAME
