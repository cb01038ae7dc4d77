"""MM-IMDB as its authors distribute it: a JSON and a poster a movie."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from components.multimodal_example_gen.readers import picture
from components.multimodal_example_gen.record import inside, parse_object, read_bounded, text_of
from components.multimodal_example_gen.row import SPLITS, Row, Skip, SkipRowError
from components.multimodal_example_gen.sources.source import Listing, Source, mounted_root

#: The genres kept by the authors (GMU, Arevalo et al., 2017), the most frequent of 27 first.
GENRES = (
    "Drama",
    "Comedy",
    "Romance",
    "Thriller",
    "Crime",
    "Action",
    "Adventure",
    "Horror",
    "Documentary",
    "Mystery",
    "Sci-Fi",
    "Fantasy",
    "Family",
    "Biography",
    "War",
    "History",
    "Music",
    "Animation",
    "Musical",
    "Western",
    "Sport",
    "Short",
    "Film-Noir",
)
_ALL_GENRES = frozenset((*GENRES, "News", "Adult", "Talk-Show", "Reality-TV"))
#: Table I of the paper, and the split file of the authors.
PUBLISHED_ROWS = {"train": 15552, "dev": 2608, "test": 7799}
PLOTS = ("longest", "first", "outline")
#: A movie's JSON has some ten thousand bytes, the split file some hundred thousand.
MAX_JSON_BYTES = 16 * 1024 * 1024

_ID = re.compile(r"[0-9]{1,10}", re.ASCII)
# IMDb signs a plot so. The name is no part of the plot.
_AUTHOR = re.compile(r"::[^:\n]{0,100}\Z")


class MmimdbSource(Source):
    """MM-IMDB, the folder of `mmimdb.tar.gz`: `split.json`, `dataset/<id>.json` and `dataset/<id>.jpeg`.

    The split is the one in `split.json`, never drawn again. A movie that lacks genres, a plot or the poster is left
    out, as its authors do. Genres outside `classes` are ignored: the movie keeps its others, and how many were ignored
    is reported. (MMBT leaves such movies out instead, so its counts are a little smaller.)

    What is left out has a reason: `wrong_id` (not digits alone), `duplicate_id`, `missing_file` (the JSON),
    `file_too_large`, `broken_row`, `not_utf8`, `wrong_type`, `no_genres`, `no_known_genre`, `empty_text`,
    `missing_image`, `path_outside_root`, and those of `components.multimodal_example_gen.readers.picture.read_picture`.

    Args:
        data_root: str. The folder; on this machine or mounted.
        classes: list of str. The genres. Defaults to `GENRES`, the 23 that the authors keep.
        plot: str. Which of a movie's plots is its text: `"longest"` (default; GMU and MMBT), `"first"` (MMF) or
            `"outline"` (the plot outline, where a movie has none the longest plot). A plot's signature (`::name`) is
            cut off.

    Raises:
        ValueError: for settings out of range.
    """

    name = "mmimdb"
    paths = ("data_root",)
    attribution = "MM-IMDB (Arevalo et al., 2017): texts and posters of IMDb, for research."
    multi_label = True
    strict = False
    #: The posters have eight gigabytes.
    fingerprint_by = "metadata"
    published_rows = PUBLISHED_ROWS

    def __init__(self, data_root: str, classes: Sequence[str] = GENRES, plot: str = "longest"):
        if len(set(classes)) != len(classes) or len(classes) < 2 or "" in classes:
            raise ValueError(f"`classes` must be two or more different names. Received: {list(classes)!r}.")
        if plot not in PLOTS:
            raise ValueError(f"`plot` must be one of {PLOTS}. Received: {plot!r}.")
        self.data_root = mounted_root(self.name, data_root)
        self.classes = tuple(classes)
        self.plot = plot

    def read(self) -> Listing:
        """See `Source.read`."""
        rows: list[Row] = []
        skipped: list[Skip] = []
        observed: Counter[str] = Counter()
        seen: set[str] = set()
        for place, split, entry in _movies(self.data_root):
            row_id = place
            try:
                row_id = movie = _checked_id(entry)
                if movie in seen:
                    raise SkipRowError("duplicate_id", f"the id {movie!r} was used above")
                seen.add(movie)
                rows.append(self._row(place, split, movie, observed))
            except SkipRowError as error:
                skipped.append(Skip(error.reason, row_id, error.detail, place))
        return Listing(rows=rows, skipped=skipped, classes=self.classes, observed=dict(observed))

    def image(self, row: Row) -> bytes:
        """See `Source.image`."""
        # Resolved again: long after the listing, a link may lead elsewhere.
        return picture.read_picture(inside(self.data_root, row.media["image"], "image"))

    def row_files(self, row: Row) -> Sequence[str]:
        """See `Source.row_files`."""
        return [inside(self.data_root, row.media["image"], "image")]

    def files(self) -> Iterator[tuple[str, str]]:
        """See `Source.files`."""
        yield "split.json", _split_file(self.data_root)
        for _, _, entry in _movies(self.data_root):
            try:
                for name in _file_names(_checked_id(entry)):
                    yield name, inside(self.data_root, name, name)
            except SkipRowError:
                # Never opened, so its content is no part of the data.
                continue

    def _row(self, place: str, split: str, movie: str, observed: Counter[str]) -> Row:
        json_name, image_name = _file_names(movie)
        record = parse_object(read_bounded(inside(self.data_root, json_name, "metadata"), MAX_JSON_BYTES))
        genres = record.get("genres")
        if genres in (None, []):
            raise SkipRowError("no_genres", "the movie has no genres")
        if not isinstance(genres, list):
            raise SkipRowError("wrong_type", f"`genres` must be a list of names. Received: {type(genres).__name__}")
        names = dict.fromkeys(text_of(name, "genres") for name in genres)
        labels = tuple(name for name in names if name in self.classes)
        if not labels:
            raise SkipRowError("no_known_genre", "none of the movie's genres is among the classes")
        text = self._text(record, observed)
        if not os.path.isfile(inside(self.data_root, image_name, "image")):
            raise SkipRowError("missing_image", f"there is no file {image_name!r}")
        others = (name if name in _ALL_GENRES else "(a name IMDb has not)" for name in names if name not in labels)
        observed.update(f"genre ignored: {name}" for name in others)
        return Row(id=movie, split=split, text=text, labels=labels, media={"image": image_name}, place=place)

    def _text(self, record: dict[str, Any], observed: Counter[str]) -> str:
        """Returns the plot that the settings choose."""
        plots = record.get("plot")
        if not isinstance(plots, list | None):
            raise SkipRowError("wrong_type", f"`plot` must be a list of texts. Received: {type(plots).__name__}")
        texts = [text_of(plot, "plot") for plot in plots or []]
        if not any(texts):
            raise SkipRowError("empty_text", "the movie has no plot")
        if self.plot == "outline":
            outline = text_of(record.get("plot outline"), "plot outline")
            if outline:
                return outline
            observed["no plot outline, the longest plot is taken"] += 1
        # The first of the longest ones, chosen with its signature, as the authors do.
        chosen = texts[0] if self.plot == "first" else max(texts, key=len)
        text = _AUTHOR.sub("", chosen).strip()
        if not text:
            raise SkipRowError("empty_text", "the chosen plot is empty")
        return text


def _movies(root: str) -> Iterator[tuple[str, str, Any]]:
    """Yields `(place, split, id)` of each entry of the split file.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when it is not a split file.
    """
    path = _split_file(root)
    try:
        splits = parse_object(read_bounded(path, MAX_JSON_BYTES))
    except SkipRowError as error:
        raise ValueError(f"{path!r} cannot be read: {error.reason}: {error.detail}.") from error
    lists = {split: splits.get(split) for split in SPLITS}
    wrong = sorted(split for split, movies in lists.items() if not isinstance(movies, list))
    if wrong:
        raise ValueError(
            f"{path!r} needs a list of ids under each of {list(SPLITS)}. Received none under {wrong}. Take the file "
            "from mmimdb.tar.gz: the split is not to be drawn again."
        )
    for split, movies in lists.items():
        for index, entry in enumerate(movies or []):
            yield f"split.json, {split}[{index}]", split, entry


def _split_file(root: str) -> str:
    try:
        path = inside(root, "split.json", "split.json")
    except SkipRowError as error:
        raise ValueError(f"The split file of {root!r} cannot be read: {error.detail}.") from error
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"There is no {path!r}. Unpack mmimdb.tar.gz, so that `split.json` and `dataset/` are in {root!r}, or name "
            "another folder by `data.data_root`."
        )
    return path


def _file_names(movie: str) -> tuple[str, str]:
    return f"dataset/{movie}.json", f"dataset/{movie}.jpeg"


def _checked_id(movie: Any) -> str:
    if not isinstance(movie, str) or not _ID.fullmatch(movie):
        raise SkipRowError("wrong_id", f"an id of digits is expected. Received: {type(movie).__name__}")
    return movie
