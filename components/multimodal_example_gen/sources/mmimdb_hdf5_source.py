"""MM-IMDB as the file `multimodal_imdb.hdf5`, which the authors' script makes and most others' code reads."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from components.multimodal_example_gen.readers import limited_process, mmimdb_hdf5_rows, picture
from components.multimodal_example_gen.readers.mmimdb_hdf5_rows import MAX_ALL_WORDS, MAX_MEMORY, MAX_PIXELS, MAX_WORDS
from components.multimodal_example_gen.record import inside
from components.multimodal_example_gen.row import SPLITS, Row, Skip, SkipRowError
from components.multimodal_example_gen.sources.mmimdb_source import GENRES, PUBLISHED_ROWS
from components.multimodal_example_gen.sources.source import Listing, Source, mounted_root

FILE = "multimodal_imdb.hdf5"
#: For a block of rows or an image, which take a second on a slow disk.
MAX_SECONDS = 120.0

_BLOCK = 1024
_ID = re.compile(rb"[0-9]{1,10}")


class MmimdbHdf5Source(Source):
    """MM-IMDB, the file `multimodal_imdb.hdf5`.

    Read are `imdb_ids`, `genres` (0 and 1, `target_names` its JSON attribute), `images` (rows, 3, height, width) and
    `sequences`. The images are there as VGG-16 reads them: blue, green and red, from which the authors' script takes
    103.939, 116.779 and 123.68 and cuts off the fraction. That is undone, so that an image is the same picture as that
    of `mmimdb`; just above a mean it is darker by one level of 255.

    The words themselves are in another file, `metadata.npy`, which is a pickle and runs what it says, so it is not
    read: the text of a row is the numbers of its words, "12 7 301". A model made from it needs texts as such numbers
    when it serves; for words use the source `mmimdb`.

    The split is the attribute `split` that the authors' script writes. A file without it must have 25,959 rows, which
    are 15,552 of train, then 2,608 of dev and 7,799 of test.

    HDF5's library, which a broken file can crash or stall, runs in a process of its own with limits of time and memory
    (`components.multimodal_example_gen.readers.limited_process`). A file that takes it down is refused.

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
        self.data_root = mounted_root(self.name, data_root)
        self.classes = tuple(classes)

    def read(self) -> Listing:
        """See `Source.read`."""
        path = self._path()
        found, _ = _asked(path, wanted="description")
        names = _genre_names(path, found)
        missing = [name for name in self.classes if name not in names]
        if missing:
            raise ValueError(f"{path!r} has no genres {missing}, which are among `classes`. It has: {names}.")
        split_of = _split_of(path, found)
        rows: list[Row] = []
        skipped: list[Skip] = []
        observed: Counter[str] = Counter()
        seen: set[str] = set()
        for index, (movie, marks, words) in enumerate(_rows(path, found["rows"], len(names))):
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

    def image(self, row: Row) -> bytes:
        """See `Source.image`.

        Raises:
            ValueError: when reading it takes down HDF5's library: then nothing else of the file can be trusted.
        """
        try:
            found, (pixels,) = _asked(self._path(), wanted="image", row=row.media["row"])
        except _UnreadableError as error:
            raise SkipRowError("unreadable_image", f"the image cannot be read: {error.detail}") from error
        height, width = found["height"], found["width"]
        if not 0 < height * width <= MAX_PIXELS:
            raise SkipRowError("unreadable_image", f"the image is {width} x {height}")
        image = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
        return picture.encode_png(Image.fromarray(image))

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


class _UnreadableError(ValueError):
    """HDF5, or a check before it, refused what was asked for."""

    def __init__(self, path: str, detail: str):
        super().__init__(f"{path!r} cannot be read: {detail}.")
        self.detail = detail


def _asked(path: str, **request: Any) -> tuple[dict[str, Any], list[bytes]]:
    """Asks the process that reads the file, see `mmimdb_hdf5_rows`."""
    what = {key: value for key, value in request.items() if key != "wanted"}
    try:
        answer, parts = limited_process.ask(
            mmimdb_hdf5_rows.__file__, {"path": path, **request}, MAX_SECONDS, MAX_MEMORY
        )
    except (limited_process.ProcessDiedError, limited_process.ProcessStalledError) as error:
        stalled = isinstance(error, limited_process.ProcessStalledError)
        raise ValueError(
            f"{path!r} cannot be read: the process that reads it {'took' if stalled else 'ended by'} {error}, asked "
            f"for its {request['wanted']} {what or ''}. The file is broken, or made to do harm"
            f"{', or its disk hangs' if stalled else ''}: copy it again from where you trust it, or use the source "
            "'mmimdb', the folder of posters and JSON."
        ) from error
    if "error" in answer:
        raise _UnreadableError(path, answer["error"])
    return answer, parts


def _genre_names(path: str, found: dict[str, Any]) -> list[str]:
    """Returns the names of the columns."""
    try:
        names = json.loads(found["target_names"])
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"The attribute `target_names` of `genres` of {path!r} is not JSON: {error}.") from error
    wanted = found["genres"]
    known = {name for name in names if isinstance(name, str) and name} if isinstance(names, list) else set()
    if len(known) != wanted or len(names) != wanted:
        raise ValueError(f"The attribute `target_names` of `genres` of {path!r} must list {wanted} different names.")
    return names


def _split_of(path: str, found: dict[str, Any]) -> list[str]:
    """Returns the split of each row, "" where there is none."""
    rows, ranges = found["rows"], found["split"]
    if ranges is None:
        if rows != sum(PUBLISHED_ROWS.values()):
            raise ValueError(
                f"{path!r} has {rows} rows and no attribute `split` that says where train, dev and test are. "
                f"Only the authors' {sum(PUBLISHED_ROWS.values())} rows have a known order."
            )
        return [split for split in SPLITS for _ in range(PUBLISHED_ROWS[split])]
    split_of = [""] * rows
    for split, (start, stop) in ranges.items():
        if not 0 <= start < stop <= rows or any(split_of[start:stop]):
            raise ValueError(
                f"The attribute `split` of {path!r} gives the ranges {ranges}; they must not overlap and must "
                f"lie within {rows} rows."
            )
        split_of[start:stop] = [split] * (stop - start)
    return split_of


def _rows(path: str, rows: int, genres: int) -> Iterator[tuple[bytes, np.ndarray, np.ndarray]]:
    """Yields id, genres and words of each row, some rows at a time."""
    total = 0
    for start in range(0, rows, _BLOCK):
        stop = min(start + _BLOCK, rows)
        found, (ids, marks, counts, words) = _asked(path, wanted="block", start=start, stop=stop)
        lengths, numbers = np.frombuffer(counts, "<i8"), np.frombuffer(words, "<i8")
        if lengths.min() < 0 or lengths.sum() != len(numbers):
            raise ValueError(f"{path!r} cannot be read: {len(numbers)} words of rows that have {lengths.tolist()}.")
        total += len(numbers)
        if total > MAX_ALL_WORDS:
            raise ValueError(
                f"{path!r} cannot be read: its rows have more than {MAX_ALL_WORDS} words. Take the file of the authors."
            )
        yield from zip(
            np.frombuffer(ids, f"S{found['id_bytes']}").tolist(),
            np.frombuffer(marks, np.uint8).reshape(stop - start, genres),
            np.split(numbers, np.cumsum(lengths)[:-1]),
            strict=True,
        )


def _text(words: np.ndarray) -> str:
    if not len(words):
        raise SkipRowError("empty_text", "the movie has no words")
    if words.min() < 0 or len(words) > MAX_WORDS:
        raise SkipRowError("wrong_type", f"`sequences` must be up to {MAX_WORDS} numbers that are not negative")
    return " ".join(map(str, words.tolist()))
