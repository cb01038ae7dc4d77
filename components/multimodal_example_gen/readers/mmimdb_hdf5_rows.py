"""Reads MM-IMDB's HDF5 file in a process of its own: a file broken on purpose can crash or stall HDF5's C library.

`readers.limited_process` serves `answer` of this file. It imports nothing of this project
and no TensorFlow, so that it starts in a fraction of a second; h5py and numpy alone.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

#: What is read of the file. The rest are features that others computed.
DATASETS = ("imdb_ids", "genres", "sequences", "images")
#: The authors' file has 25,959 rows. A file may claim any number.
MAX_ROWS = 1_000_000
MAX_GENRES = 1000
MAX_WORDS = 100_000
#: Of all rows; the authors' have some three millions. In HDF5 many rows can name one list, so a small file has any
#: number of words.
MAX_ALL_WORDS = 20_000_000
#: Of an image; the authors' have 160 x 256.
MAX_PIXELS = 40_000_000
#: A chunk is unpacked whole, however little of it is read.
MAX_CHUNK_BYTES = 256 * 1024 * 1024
#: What the process may take in memory. A block of rows takes some ten megabytes, an image of the authors half a one.
MAX_MEMORY = 1 << 30

_SPLITS = ("train", "dev", "test")
# Of blue, green and red, in this order, which the authors' script takes from a poster: it stores what VGG-16 reads.
_MEANS = (103.939, 116.779, 123.68)
# The file of the last request, which the next one most likely reads too.
_OPENED: dict[tuple[Any, ...], dict[str, h5py.Dataset]] = {}


class Hdf5Error(Exception):
    """A file that is not what it should be; the message says in what."""


def answer(path: str, wanted: str, **arguments: Any) -> tuple[dict[str, Any], list[bytes]]:
    """Answers a request for a part of the file.

    Args:
        path: str. The file.
        wanted: str. `"description"`, `"block"` or `"image"`.
        arguments: of `description`, `block` or `image`.

    Returns:
        dict and list of bytes: those of the function, or `error`, what is wrong with the file.
    """
    try:
        parts: dict[str, Callable[..., tuple[dict[str, Any], list[bytes]]]]
        parts = {"description": description, "block": block, "image": image}
        return parts[wanted](_opened(path), **arguments)
    except Hdf5Error as error:
        return {"error": str(error)}, []
    except MemoryError:
        return {"error": f"reading it takes more than {MAX_MEMORY} bytes of memory"}, []
    # What the library raises on a broken file is not a closed list.
    except Exception as error:
        return {"error": f"HDF5 says {error!r}"[:300]}, []


def description(datasets: dict[str, h5py.Dataset]) -> tuple[dict[str, Any], list[bytes]]:
    """Returns `rows`, `target_names` (JSON text or null) and `split` (null, or first and last row by split)."""
    genres = datasets["genres"]
    names = genres.attrs.get("target_names")
    if isinstance(names, bytes):
        names = names.decode("utf-8")
    table = genres.file.attrs.get("split")
    return {
        "rows": len(genres),
        "genres": genres.shape[1],
        "target_names": names if isinstance(names, str) else None,
        "split": None if table is None else _ranges(table),
    }, []


def block(datasets: dict[str, h5py.Dataset], start: int, stop: int) -> tuple[dict[str, Any], list[bytes]]:
    """Reads ids, genres and words of some rows.

    Returns:
        dict with `id_bytes`, of each id; and four parts: ids; genres, a byte each, 2 for what is neither 0 nor 1;
        numbers of words; and words, both as 64-bit whole numbers. Of more than `MAX_WORDS` words one more is given.
    """
    ids, marks, sequences = (datasets[name][start:stop] for name in ("imdb_ids", "genres", "sequences"))
    marks = np.where((marks == 0) | (marks == 1), marks, 2).astype(np.uint8)
    words = [sequence[: MAX_WORDS + 1].astype("<i8") for sequence in sequences]
    counts = np.array([len(one) for one in words], "<i8")
    parts = [ids, marks, counts, np.concatenate(words) if words else counts]
    return {"id_bytes": ids.dtype.itemsize}, [part.tobytes() for part in parts]


def image(datasets: dict[str, h5py.Dataset], row: int) -> tuple[dict[str, Any], list[bytes]]:
    """Reads an image, and undoes what was done to it for VGG-16.

    Returns:
        dict with `height` and `width`; and one part, (height, width, 3) bytes: red, green and blue.
    """
    # (3, height, width)
    stored = datasets["images"][row]
    if stored.min() >= -255 and stored.max() <= 255:
        levels = [_levels(channel.astype(np.int16), mean) for channel, mean in zip(stored, _MEANS, strict=True)]
        # (height, width, 3)
        pixels = np.stack(levels[::-1], axis=-1)
        if pixels.min() >= 0 and pixels.max() <= 255:
            height, width, _ = pixels.shape
            return {"height": height, "width": width}, [pixels.astype(np.uint8).tobytes()]
    raise Hdf5Error("it holds values that are no levels of blue, green and red less their means")


def _levels(stored: np.ndarray, mean: float) -> np.ndarray:
    """Adds the mean of a channel. Its fraction was cut off towards zero, so two levels became 0: the lower is taken."""
    return stored + np.where(stored > 0, np.int16(math.ceil(mean)), np.int16(math.floor(mean)))


def _opened(path: str) -> dict[str, h5py.Dataset]:
    """Opens the file, where it is not the one of the last request, and checks its datasets."""
    status = os.stat(path)
    key = (path, status.st_ino, status.st_size, status.st_mtime_ns)
    if key not in _OPENED:
        while _OPENED:
            _, before = _OPENED.popitem()
            # A broken file may not even close.
            with contextlib.suppress(Exception):
                before["images"].file.close()
        with contextlib.ExitStack() as unless_good:
            # Without a lock: a file that is only read may lie where nothing can be locked.
            file = unless_good.enter_context(h5py.File(path, "r", locking=False))
            datasets = _checked(file)
            unless_good.pop_all()
        _OPENED[key] = datasets
    return _OPENED[key]


def _checked(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Checks that the datasets are what they are said to be, before anything is read from them."""
    datasets = {name: _dataset(file, name) for name in DATASETS}
    rows = len(datasets["imdb_ids"])
    integer = h5py.check_vlen_dtype(datasets["sequences"].dtype)
    shapes = {name: dataset.shape for name, dataset in datasets.items()}
    good = {
        "imdb_ids": shapes["imdb_ids"] == (rows,)
        and datasets["imdb_ids"].dtype.kind == "S"
        and datasets["imdb_ids"].dtype.itemsize <= 32,
        "genres": shapes["genres"][:1] == (rows,)
        and len(shapes["genres"]) == 2
        and shapes["genres"][1] <= MAX_GENRES
        and datasets["genres"].dtype.kind in "iu",
        "sequences": shapes["sequences"] == (rows,) and integer is not None and np.dtype(integer).kind in "iu",
        "images": shapes["images"][:2] == (rows, 3)
        and len(shapes["images"]) == 4
        and 0 < shapes["images"][2] * shapes["images"][3] <= MAX_PIXELS
        and datasets["images"].dtype.kind in "iu",
    }
    wrong = {name: (shapes[name], str(datasets[name].dtype)) for name, is_good in good.items() if not is_good}
    if wrong or not 0 < rows <= MAX_ROWS:
        raise Hdf5Error(
            "it needs `imdb_ids` (rows,) of bytes, `genres` (rows, genres) and `images` (rows, 3, height, width) of "
            f"whole numbers, `sequences` (rows,) of lists of whole numbers, 1 to {MAX_ROWS} rows. Received: {rows} "
            f"rows, {wrong}"
        )
    return datasets


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    # Soft and external links, virtual datasets and external storage read other files than this one.
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        raise Hdf5Error(f"it has no dataset {name!r} of its own. Take the file of the authors")
    dataset = file[name]
    if dataset.is_virtual or dataset.external:
        raise Hdf5Error(f"its dataset {name!r} lies in other files, which are not read")
    chunk_bytes = int(np.prod(dataset.chunks or (), dtype=object)) * dataset.dtype.itemsize
    if not dataset.shape or chunk_bytes > MAX_CHUNK_BYTES:
        raise Hdf5Error(
            f"its dataset {name!r} has the shape {dataset.shape} in chunks of {chunk_bytes} bytes; a list of rows in "
            f"chunks of at most {MAX_CHUNK_BYTES} bytes is expected"
        )
    return dataset


def _ranges(table: Any) -> dict[str, tuple[int, int]]:
    """Reads Fuel's split array: a line for each split and dataset, with its range of rows."""
    fields = getattr(getattr(table, "dtype", None), "names", None) or ()
    if not {"split", "source", "start", "stop"} <= set(fields) or np.ndim(table) != 1:
        raise Hdf5Error("the attribute `split` must be Fuel's split array (split, source, start, stop, ...)")
    found: dict[str, dict[str, tuple[int, int]]] = {split: {} for split in _SPLITS}
    for line in table:
        split, source = (_name(line[field]) for field in ("split", "source"))
        if split not in found or source not in DATASETS:
            continue
        available = bool(np.all(line["available"])) if "available" in fields else True
        # A reference to a list of rows, which the authors' file has not, would be another order.
        if not available or ("indices" in fields and line["indices"]):
            raise Hdf5Error(f"the attribute `split` has no plain range of {source!r} in {split!r}")
        found[split][source] = (int(line["start"]), int(line["stop"]))
    for split, ranges in found.items():
        if set(ranges) != set(DATASETS) or len(set(ranges.values())) != 1:
            raise Hdf5Error(
                f"the attribute `split` must give one range of rows for all of {DATASETS} in {split!r}. "
                f"Received: {ranges}"
            )
    return {split: ranges["images"] for split, ranges in found.items()}


def _name(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
