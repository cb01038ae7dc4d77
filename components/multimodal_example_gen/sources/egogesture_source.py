"""EgoGesture as its authors distribute it: a JPEG a frame, colour and depth, and a table of segments a video."""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from components.multimodal_example_gen.readers.stored_frames import colour_frame, depth_frame
from components.multimodal_example_gen.readers.video_frames import even_indices
from components.multimodal_example_gen.record import inside, read_bounded
from components.multimodal_example_gen.row import Row, Skip, SkipRowError
from components.multimodal_example_gen.sources.egogesture_classes import GESTURES
from components.multimodal_example_gen.sources.source import Listing, Source, mounted_root

#: Table I of the paper, and the label files.
PUBLISHED_ROWS = {"train": 14416, "dev": 4768, "test": 4977}
#: The authors' split by subjects; the other 30 are the training split.
TEST_SUBJECTS = frozenset((2, 9, 11, 14, 18, 19, 28, 31, 41, 47))
DEV_SUBJECTS = frozenset((1, 7, 12, 13, 24, 29, 33, 34, 35, 37))
LAST_SUBJECT, LAST_SCENE, LAST_FRAME = 50, 6, 999_999
#: The longest segment has 196 frames.
MAX_SEGMENT_FRAMES = 10_000
#: Of the frames of one kind. The authors' have some megabytes; an example of two gigabytes could not be written.
MAX_CLIP_BYTES = 256 * 1024 * 1024
#: A table has some ten lines.
MAX_TABLE_BYTES = 1024 * 1024
LABELS_FOLDER = "labels-final-revised1"

_SUBJECT = re.compile(r"subject(\d{1,3})", re.ASCII | re.IGNORECASE)
_SCENE = re.compile(r"scene(\d{1,3})", re.ASCII | re.IGNORECASE)
_GROUP = re.compile(r"group(\d{1,3})\.csv", re.ASCII | re.IGNORECASE)


class EgoGestureSource(Source):
    """EgoGesture, 83 gestures: `[images/]Subject01/Scene1/{Color/rgb1,Depth/depth1}/000001.jpg` and
    `labels-final-revised1/subject01/Scene1/Group1.csv`.

    A line of a table is `class,start,end`: class 1 to 83, first and last frame, counted from 1, the last included.
    Numbers may be written `98.0`; lines that are blank or all NaN are ignored, but counted. Names of tables and of
    their folders may be written small or large. The number of a table, of the folder `rgb<number>` and of
    `depth<number>` is the same; that is what pairs them.

    The split is by subjects, as its authors have it: test 2, 9, 11, 14, 18, 19, 28, 31, 41, 47; dev 1, 7, 12, 13, 24,
    29, 33, 34, 35, 37; train the other 30.

    An example has `video` and `depth`, of the same frames. A colour frame that is small enough is passed on as it is.

    What is left out has a reason: `wrong_name` (subject or scene out of range), `duplicate_table` (two spellings of one
    name), `file_too_large`, `path_outside_root`, `broken_row` (no three whole numbers), `unknown_label`,
    `wrong_segment` (frames that cannot be), `duplicate_id`, `missing_frame`, `frame_too_large`, `unreadable_frame`,
    `frame_sizes_differ`, `clip_too_large`.

    Args:
        data_root: str. The folder; on this machine or mounted.
        classes: list of str. Names out of `GESTURES`; segments of others are ignored. Defaults to all.
        max_frames: int. Frames kept of a segment, evenly over all of it. Defaults to 64; 95 % have no more than 75.
        short_side: int. Larger frames are scaled down to it. Defaults to 240.
        strict: bool. Whether one unusable segment stops the run. Defaults to `False`.

    Raises:
        ValueError: for settings out of range.
    """

    name = "egogesture"
    paths = ("data_root",)
    modalities = ("depth", "video")
    attribution = "EgoGesture (Zhang et al., IEEE Transactions on Multimedia, 2018; NLPR, CASIA): for research."
    #: Three million frames, twice.
    fingerprint_by = "metadata"

    def __init__(
        self,
        data_root: str,
        classes: Sequence[str] = GESTURES,
        max_frames: int = 64,
        short_side: int = 240,
        strict: bool = False,
    ):
        unknown = sorted(set(classes) - set(GESTURES))
        if unknown or len(set(classes)) != len(classes) or len(classes) < 2:
            raise ValueError(
                f"`classes` must be two or more different names out of the 83 gestures. Received: {list(classes)!r}, "
                f"of which unknown: {unknown}."
            )
        for setting, value, least, largest in (
            ("max_frames", max_frames, 2, 1024),
            ("short_side", short_side, 8, 4096),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= largest:
                raise ValueError(f"`{setting}` must be a whole number from {least} to {largest}. Received: {value!r}.")
        self.data_root = mounted_root(self.name, data_root)
        self.classes = tuple(classes)
        self.max_frames = max_frames
        self.short_side = short_side
        self.strict = strict
        if set(classes) == set(GESTURES):
            self.published_rows = PUBLISHED_ROWS

    def read(self) -> Listing:
        """See `Source.read`."""
        self._images_folder()
        rows: list[Row] = []
        skipped: list[Skip] = []
        observed: Counter[str] = Counter()
        tables: set[tuple[int, ...]] = set()
        ids: set[str] = set()
        for path, numbers in _tables(self.data_root):
            try:
                _check_table(numbers, tables)
                tables.add(numbers)
                lines = _lines(inside(self.data_root, path, "table"))
            except SkipRowError as error:
                skipped.append(Skip(error.reason, path, error.detail, path))
                continue
            for line_number, fields in lines:
                place = f"{path}, line {line_number}"
                try:
                    row = self._row(numbers, fields, place, observed)
                    if row is not None:
                        if row.id in ids:
                            raise SkipRowError("duplicate_id", f"the segment {row.id!r} was named above")
                        ids.add(row.id)
                        rows.append(row)
                except SkipRowError as error:
                    skipped.append(Skip(error.reason, place, error.detail, place))
        return Listing(rows=rows, skipped=skipped, classes=self.classes, observed=dict(observed))

    def features(self, row: Row) -> dict[str, bytes | list[bytes] | np.ndarray]:
        """See `Source.features`."""
        return {
            "depth": self._frames(row, "Depth", "depth", depth_frame),
            "video": self._frames(row, "Color", "rgb", colour_frame),
        }

    def row_files(self, row: Row) -> Sequence[str]:
        """See `Source.row_files`."""
        images = self._images_folder()
        return [inside(self.data_root, f"{images}{name}", "frame") for name in self._frame_names(row)]

    def files(self) -> Iterator[tuple[str, str]]:
        """See `Source.files`."""
        for path, _ in _tables(self.data_root):
            try:
                yield path, inside(self.data_root, path, "table")
            except SkipRowError:
                # Never opened, so its content is no part of the data.
                continue
        images = self._images_folder()
        for row in self.read().rows:
            for name in self._frame_names(row):
                yield name, os.path.join(self.data_root, images, name)

    def _row(self, numbers: tuple[int, ...], fields: Sequence[str], place: str, observed: Counter[str]) -> Row | None:
        """Returns a segment's row, or nothing for a line that is blank or of a gesture outside the classes."""
        if all(field.strip().lower() in ("", "nan") for field in fields):
            observed["lines of tables that are blank, ignored"] += 1
            return None
        values = [_whole(field) for field in fields]
        if len(values) != 3:
            raise SkipRowError("broken_row", f"{len(values)} fields, expected class, first and last frame")
        label_number, start, end = values
        if not 1 <= label_number <= len(GESTURES):
            raise SkipRowError("unknown_label", f"the class is {label_number}, expected 1 to {len(GESTURES)}")
        if not (1 <= start <= end <= LAST_FRAME and end - start < MAX_SEGMENT_FRAMES):
            raise SkipRowError("wrong_segment", f"the frames are {start} to {end}")
        label = GESTURES[label_number - 1]
        if label not in self.classes:
            observed["segments of other gestures, ignored"] += 1
            return None
        subject, scene, group = numbers
        split = "test" if subject in TEST_SUBJECTS else "dev" if subject in DEV_SUBJECTS else "train"
        return Row(
            id=f"Subject{subject:02d}/Scene{scene}/{group}/{start:06d}-{end:06d}",
            split=split,
            labels=(label,),
            media={"subject": subject, "scene": scene, "group": group, "start": start, "end": end},
            place=place,
        )

    def _frames(
        self, row: Row, kind: str, prefix: str, read_frame: Callable[[str, int], tuple[bytes, tuple[int, int]]]
    ) -> list[bytes]:
        folder = f"{self._images_folder()}{_frame_folder(row.media, kind, prefix)}"
        frames, sizes, total = [], set(), 0
        for frame in self._frame_numbers(row):
            encoded, size = read_frame(inside(self.data_root, f"{folder}/{frame:06d}.jpg", "frame"), self.short_side)
            frames.append(encoded)
            sizes.add(size)
            if len(sizes) > 1:
                raise SkipRowError("frame_sizes_differ", f"frames of {folder} have the sizes {sorted(sizes)}")
            total += len(encoded)
            if total > MAX_CLIP_BYTES:
                raise SkipRowError("clip_too_large", f"the frames of {folder} have more than {MAX_CLIP_BYTES} bytes")
        return frames

    def _frame_numbers(self, row: Row) -> list[int]:
        start, end = row.media["start"], row.media["end"]
        return [start + index for index in even_indices(end - start + 1, self.max_frames)]

    def _frame_names(self, row: Row) -> Iterator[str]:
        for kind, prefix in (("Color", "rgb"), ("Depth", "depth")):
            folder = _frame_folder(row.media, kind, prefix)
            for frame in self._frame_numbers(row):
                yield f"{folder}/{frame:06d}.jpg"

    def _images_folder(self) -> str:
        """Returns the folder of the subjects, from the data root on: `"images/"` or `""`."""
        if os.path.isdir(os.path.join(self.data_root, "images")):
            return "images/"
        if os.path.isdir(self.data_root) and any(map(_SUBJECT.fullmatch, os.listdir(self.data_root))):
            return ""
        raise FileNotFoundError(
            f"There is neither a folder 'images' nor a folder 'Subject01' in {self.data_root!r}. Set `data_root` to "
            "the folder of EgoGesture."
        )


def _frame_folder(media: dict[str, int], kind: str, prefix: str) -> str:
    return f"Subject{media['subject']:02d}/Scene{media['scene']}/{kind}/{prefix}{media['group']}"


def _tables(root: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yields the path of each table from the root on, and its subject, scene and group, in the order of the names."""
    if not os.path.isdir(os.path.join(root, LABELS_FOLDER)):
        raise FileNotFoundError(
            f"There is no folder {LABELS_FOLDER!r} in {root!r}. Set `data_root` to the folder of EgoGesture."
        )
    for subject_folder, subject in _numbered(os.path.join(root, LABELS_FOLDER), _SUBJECT):
        for scene_folder, scene in _numbered(os.path.join(root, LABELS_FOLDER, subject_folder), _SCENE):
            for table, group in _numbered(os.path.join(root, LABELS_FOLDER, subject_folder, scene_folder), _GROUP):
                yield f"{LABELS_FOLDER}/{subject_folder}/{scene_folder}/{table}", (subject, scene, group)


def _numbered(folder: str, pattern: re.Pattern[str]) -> list[tuple[str, int]]:
    """Returns what a folder has of this form of name, and the number in it."""
    if not os.path.isdir(folder) or os.path.islink(folder):
        return []
    matches = (pattern.fullmatch(name) for name in sorted(os.listdir(folder)))
    return [(match.group(), int(match.group(1))) for match in matches if match]


def _check_table(numbers: tuple[int, ...], seen: set[tuple[int, ...]]) -> None:
    subject, scene, group = numbers
    if not (1 <= subject <= LAST_SUBJECT and 1 <= scene <= LAST_SCENE and group >= 1):
        raise SkipRowError("wrong_name", f"subject {subject}, scene {scene}, group {group} is out of range")
    if numbers in seen:
        raise SkipRowError("duplicate_table", f"subject {subject}, scene {scene}, group {group} has two tables")


def _lines(path: str) -> list[tuple[int, list[str]]]:
    """Returns the lines of a table that hold anything, with their numbers."""
    text = read_bounded(path, MAX_TABLE_BYTES).decode("utf-8-sig", "replace")
    # Not csv's own way with quotes: a broken one would swallow the lines behind it.
    reader = csv.reader(text.replace("\0", "?").splitlines(), quoting=csv.QUOTE_NONE)
    try:
        return [(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        raise SkipRowError("broken_row", f"line {reader.line_num} is not CSV: {error}") from error


def _whole(field: str) -> int:
    """Reads `98` and `98.0`."""
    field = field.strip()
    try:
        value = float(field)
    except ValueError:
        value = math.nan
    if "_" in field or not math.isfinite(value) or value != int(value):
        raise SkipRowError("broken_row", "not a whole number in each field, expected class, first and last frame")
    return int(value)
