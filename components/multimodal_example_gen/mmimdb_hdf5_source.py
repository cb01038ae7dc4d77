"""MM-IMDB as the file `multimodal_imdb.hdf5`, which the authors' script makes and most others' code reads."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np
from PIL import Image

from components.multimodal_example_gen import picture
from components.multimodal_example_gen.mmimdb_source import GENRES, PUBLISHED_ROWS
from components.multimodal_example_gen.record import inside
from components.multimodal_example_gen.row import SPLITS, Row, Skip, SkipRowError
from components.multimodal_example_gen.source import Listing, Source

FILE = "multimodal_imdb.hdf5"
#: What is read of the file. The rest are features that others computed.
DATASETS = ("imdb_ids", "genres", "sequences", "images")
#: The authors' file has 25,959 rows. A file may claim any number.
MAX_ROWS = 1_000_000
MAX_GENRES = 1000
MAX_WORDS = 100_000
#: A chunk is unpacked whole, however little of it is read.
MAX_CHUNK_BYTES = 256 * 1024 * 1024

_BLOCK = 1024
_ID = re.compile(rb"[0-9]{1,10}")


class MmimdbHdf5Source(Source):
    """MM-IMDB, the file `multimodal_imdb.hdf5`.

    Read are `imdb_ids`, `genres` (0 and 1, `target_names` its JSON attribute), `images` (rows, 3, height, width; whole
    numbers from 0 to 255) and `sequences`. The words themselves are in another file, `metadata.npy`, which is a pickle
    and runs what it says, so it is not read: the text of a row is the numbers of its words, "12 7 301". A model made
    from it needs texts as such numbers when it serves; for words use the source `mmimdb`.

    The split is the attribute `split` that the authors' script writes. A file without it must have 25,959 rows, which
    are 15,552 of train, then 2,608 of dev and 7,799 of test.

    What is left out has a reason: `wrong_id`, `duplicate_id`, `no_split`, `wrong_type`, `no_genres`, `no_known_genre`,
    `empty_text`, `unreadable_image`.

    Args:
        data_root: str. Folder of the file.
        classes: list of str. The genres. Defaults to all 23.

    Raises:
        ValueError: for settings out of range.
    """

    name = "mmimdb_hdf5"
    attribution = "MM-IMDB (Arevalo et al., 2017): texts and posters of IMDb, for research."
    multi_label = True
    strict = False
    #: The file has some fifteen gigabytes.
    fingerprint_by = "metadata"
    published_rows = PUBLISHED_ROWS

    def __init__(self, data_root: str, classes: Sequence[str] = GENRES):
        if len(set(classes)) != len(classes) or len(classes) < 2 or "" in classes:
            raise ValueError(f"`classes` must be two or more different names. Received: {list(classes)!r}.")
        self.data_root = os.fspath(data_root)
        self.classes = tuple(classes)

    def read(self) -> Listing:
        """See `Source.read`."""
        path = self._path()
        try:
            with _opened(path) as datasets:
                return self._listing(datasets)
        # What the library raises on a broken file is not a closed list; a wrong file is our own ValueError.
        except (OSError, RuntimeError, KeyError, TypeError, AttributeError, UnicodeError, MemoryError) as error:
            raise ValueError(f"{path!r} cannot be read: {error!r}.") from error

    def image(self, row: Row) -> bytes:
        """See `Source.image`."""
        try:
            with _opened(self._path()) as datasets:
                # (3, height, width)
                pixels = datasets["images"][row.media["row"]]
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
            raise SkipRowError("unreadable_image", f"the image cannot be read: {error}") from error
        if pixels.min(initial=0) < 0 or pixels.max(initial=0) > 255:
            raise SkipRowError("unreadable_image", "the image holds values outside 0 to 255")
        return picture.encode_png(Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0), dtype=np.uint8)))

    def files(self) -> Iterator[tuple[str, str]]:
        """See `Source.files`."""
        yield FILE, self._path()

    def _path(self) -> str:
        try:
            path = inside(self.data_root, FILE, FILE)
        except SkipRowError as error:
            raise ValueError(f"The data in {self.data_root!r} cannot be read: {error.detail}.") from error
        if not os.path.isfile(path):
            raise FileNotFoundError(
                f"There is no {FILE!r} in {self.data_root!r}. Put it there, or name another folder by "
                "`data.data_root`; for the folder of posters and JSON use the source 'mmimdb'."
            )
        return path

    def _listing(self, datasets: dict[str, h5py.Dataset]) -> Listing:
        names = _genre_names(datasets["genres"])
        missing = [name for name in self.classes if name not in names]
        if missing:
            raise ValueError(f"The file has no genres {missing}, which are among `classes`. It has: {names}.")
        split_of = _split_of(datasets["images"].file, len(datasets["imdb_ids"]))
        rows: list[Row] = []
        skipped: list[Skip] = []
        observed: Counter[str] = Counter()
        seen: set[str] = set()
        for index, (movie, marks, words) in enumerate(_rows(datasets)):
            place = row_id = f"row {index}"
            try:
                if not _ID.fullmatch(movie):
                    raise SkipRowError("wrong_id", "an id of digits is expected")
                row_id = movie.decode("ascii")
                if row_id in seen:
                    raise SkipRowError("duplicate_id", f"the id {row_id!r} was used above")
                seen.add(row_id)
                split = split_of[index]
                if not split:
                    raise SkipRowError("no_split", "the row is in no split")
                labels = self._labels(names, marks, observed)
                text, media = _text(words), {"row": index}
                rows.append(Row(id=row_id, split=split, text=text, labels=labels, media=media, place=place))
            except SkipRowError as error:
                skipped.append(Skip(error.reason, row_id, error.detail, place))
        return Listing(rows=rows, skipped=skipped, classes=self.classes, observed=dict(observed))

    def _labels(self, names: list[str], marks: np.ndarray, observed: Counter[str]) -> tuple[str, ...]:
        if not np.isin(marks, (0, 1)).all():
            raise SkipRowError("wrong_type", "`genres` holds values other than 0 and 1")
        genres = [name for name, mark in zip(names, marks, strict=True) if mark]
        if not genres:
            raise SkipRowError("no_genres", "the movie has no genres")
        labels = tuple(name for name in genres if name in self.classes)
        if not labels:
            raise SkipRowError("no_known_genre", "none of the movie's genres is among the classes")
        others = (name if name in GENRES else "(a name IMDb has not)" for name in genres if name not in labels)
        observed.update(f"genre ignored: {name}" for name in others)
        return labels


@contextlib.contextmanager
def _opened(path: str) -> Iterator[dict[str, h5py.Dataset]]:
    """Opens the file and checks that its datasets are what they are said to be, before anything is read from them."""
    # Without a lock: a file that is only read may lie where nothing can be locked.
    with h5py.File(path, "r", locking=False) as file:
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
            and 0 < shapes["images"][2] * shapes["images"][3] <= picture.MAX_PIXELS
            and datasets["images"].dtype.kind in "iu",
        }
        wrong = {name: (shapes[name], str(datasets[name].dtype)) for name, is_good in good.items() if not is_good}
        if wrong or not 0 < rows <= MAX_ROWS:
            raise ValueError(
                f"{path!r} needs `imdb_ids` (rows,) of bytes, `genres` (rows, genres) and `images` (rows, 3, height, "
                f"width) of whole numbers, `sequences` (rows,) of lists of whole numbers, 1 to {MAX_ROWS} rows. "
                f"Received: {rows} rows, {wrong}."
            )
        yield datasets


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    # Soft and external links, virtual datasets and external storage read other files than this one.
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        raise ValueError(f"{file.filename!r} has no dataset {name!r} of its own. Take the file of the authors.")
    dataset = file[name]
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"The dataset {name!r} of {file.filename!r} lies in other files, which are not read.")
    chunk_bytes = int(np.prod(dataset.chunks or (), dtype=object)) * dataset.dtype.itemsize
    if not dataset.shape or chunk_bytes > MAX_CHUNK_BYTES:
        raise ValueError(
            f"The dataset {name!r} of {file.filename!r} has the shape {dataset.shape} in chunks of {chunk_bytes} "
            f"bytes; a list of rows in chunks of at most {MAX_CHUNK_BYTES} bytes is expected."
        )
    return dataset


def _genre_names(genres: h5py.Dataset) -> list[str]:
    """Returns the names of the columns."""
    text = genres.attrs.get("target_names")
    try:
        names = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"The attribute `target_names` of `genres` is not JSON: {error}.") from error
    wanted = genres.shape[1]
    known = {name for name in names if isinstance(name, str) and name} if isinstance(names, list) else set()
    if len(known) != wanted or len(names) != wanted:
        raise ValueError(f"The attribute `target_names` of `genres` must list {wanted} different names.")
    return names


def _split_of(file: h5py.File, rows: int) -> list[str]:
    """Returns the split of each row, "" where there is none."""
    table = file.attrs.get("split")
    if table is None:
        if rows != sum(PUBLISHED_ROWS.values()):
            raise ValueError(
                f"{file.filename!r} has {rows} rows and no attribute `split` that says where train, dev and test are. "
                f"Only the authors' {sum(PUBLISHED_ROWS.values())} rows have a known order."
            )
        return [split for split in SPLITS for _ in range(PUBLISHED_ROWS[split])]
    ranges = _ranges(table)
    split_of = [""] * rows
    for split, (start, stop) in ranges.items():
        if not 0 <= start < stop <= rows or any(split_of[start:stop]):
            raise ValueError(
                f"The attribute `split` of {file.filename!r} gives the ranges {ranges}; they must not overlap and must "
                f"lie within {rows} rows."
            )
        split_of[start:stop] = [split] * (stop - start)
    return split_of


def _ranges(table: Any) -> dict[str, tuple[int, int]]:
    """Reads Fuel's split array: a line for each split and dataset, with its range of rows."""
    fields = getattr(getattr(table, "dtype", None), "names", None) or ()
    if not {"split", "source", "start", "stop"} <= set(fields) or np.ndim(table) != 1:
        raise ValueError("The attribute `split` must be Fuel's split array (split, source, start, stop, ...).")
    found: dict[str, dict[str, tuple[int, int]]] = {split: {} for split in SPLITS}
    for line in table:
        split, source = (_name(line[field]) for field in ("split", "source"))
        if split not in found or source not in DATASETS:
            continue
        available = bool(np.all(line["available"])) if "available" in fields else True
        # A reference to a list of rows, which the authors' file has not, would be another order.
        if not available or ("indices" in fields and line["indices"]):
            raise ValueError(f"The attribute `split` has no plain range of {source!r} in {split!r}.")
        found[split][source] = (int(line["start"]), int(line["stop"]))
    for split, ranges in found.items():
        if set(ranges) != set(DATASETS) or len(set(ranges.values())) != 1:
            raise ValueError(
                f"The attribute `split` must give one range of rows for all of {DATASETS} in {split!r}. "
                f"Received: {ranges}."
            )
    return {split: ranges["images"] for split, ranges in found.items()}


def _name(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _rows(datasets: dict[str, h5py.Dataset]) -> Iterator[tuple[bytes, np.ndarray, np.ndarray]]:
    """Yields id, genres and words of each row, some rows at a time."""
    for start in range(0, len(datasets["imdb_ids"]), _BLOCK):
        block = [datasets[name][start : start + _BLOCK] for name in ("imdb_ids", "genres", "sequences")]
        yield from zip(*block, strict=True)


def _text(words: np.ndarray) -> str:
    if not len(words):
        raise SkipRowError("empty_text", "the movie has no words")
    if words.min() < 0 or len(words) > MAX_WORDS:
        raise SkipRowError("wrong_type", f"`sequences` must be up to {MAX_WORDS} numbers that are not negative")
    return " ".join(map(str, words.tolist()))
