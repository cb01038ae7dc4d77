"""The user's own data: a JSONL or CSV manifest beside pictures."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.multimodal_example_gen.readers import picture
from components.multimodal_example_gen.readers.manifest_records import (
    COLUMNS,
    column_hint,
    manifest_records,
    unknown_column,
)
from components.multimodal_example_gen.readers.spans import newest_span
from components.multimodal_example_gen.record import comparable_text, in_short, inside, is_utf8, text_of
from components.multimodal_example_gen.row import SPLITS, Row, Skip, SkipRowError
from components.multimodal_example_gen.sources.source import Listing, Source
from components.words import words_of_text
from hfmnas_keras.addresses import absolute_path, is_address
from hfmnas_keras.data.stored_files import check_address

#: Other usual names of the second split.
SPLIT_NAMES = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test"}

_LOOKS_LIKE_A_LIST = re.compile(r"[,;|\[\]\"']")
# As programs write it where there is no value.
_NO_VALUE = frozenset(("nan", "null", "none", "n/a", "<na>", "nat"))


class ManifestSource(Source):
    """A manifest with one labelled pair a row, as JSONL (`.jsonl`, `.ndjson`) or CSV with a header (`.csv`).

    Columns: `id` (text or whole number, unique), `text`, `image` (path relative to the data root), `label`
    (one name) or `labels` (a list of names; in CSV separated by `|`), and, if the manifest decides the split, `split`
    (`train`, `dev` or `val`, `test`) in every row. Without a `split` column a row's split is drawn from the SHA-256 of
    `"{seed}:{id}"`, so that it stays where it is when other rows come and go.

    A row may lack its text or its picture, empty or left out, where other rows have one: it is kept and counted.

    Names of columns may be written in capitals, paths with backslashes and with composed or decomposed letters, labels
    in JSON as whole numbers or booleans.

    What cannot be used has a reason, and `strict` says what happens to it. A column: `unknown_column`. In a row:
    `broken_row`, `not_utf8`, `wrong_type`, `missing_id`, `duplicate_id`, `unknown_split`, `empty_text`, `no_label`,
    `several_labels`, `label_and_labels`, `unknown_label`, `path_outside_root`, `text_too_large`. In its picture: see
    `components.multimodal_example_gen.readers.picture.read_picture`.

    Args:
        manifest: str. Path of the manifest, or its address in a bucket. With `{SPAN}`, and `{VERSION}`, in place of
            whole numbers, the newest one is read, see `components.multimodal_example_gen.readers.spans`.
        data_root: str or None. Folder that image paths start from and must not leave, also not by a link. Defaults to
            the manifest's folder.
        classes: list of str or None. All class names. None takes those that occur, sorted; then no label is unknown.
        multi_label: bool. Whether a row may have several labels. Defaults to `False`.
        strict: bool. `True` refuses the manifest and lists what is wrong; `False` leaves such rows out and counts
            them by reason, and ignores unknown columns. Defaults to `True`.
        split_ratios: list of three numbers. Shares of train, dev and test where the manifest has no `split`.
        seed: int. Which split by hash. Defaults to `0`.
        max_image_pixels: int. Width x height above which a picture is not decoded.
        max_image_bytes: int. Size above which a picture's file is not opened.
        columns: dict or None. What the manifest calls some of the columns above, such as `{"text": "description"}`.

    Raises:
        ValueError: for settings out of range.
    """

    name = "manifest"
    paths = ("manifest", "data_root")

    def __init__(
        self,
        manifest: str,
        data_root: str | None = None,
        classes: Sequence[str] | None = None,
        multi_label: bool = False,
        strict: bool = True,
        split_ratios: Sequence[float] = (0.7, 0.1, 0.2),
        seed: int = 0,
        max_image_pixels: int = picture.MAX_PIXELS,
        max_image_bytes: int = picture.MAX_BYTES,
        columns: Mapping[str, str] | None = None,
    ):
        for path in (manifest, data_root or ""):
            check_address(path)
        if not str(manifest).lower().endswith((".jsonl", ".ndjson", ".csv")):
            raise ValueError(f"`manifest` must end in .jsonl, .ndjson or .csv. Received: {manifest!r}.")
        if classes is not None and (len(set(classes)) != len(classes) or len(classes) < 2 or "" in classes):
            raise ValueError(f"`classes` must be two or more different names. Received: {list(classes)!r}.")
        if len(split_ratios) != len(SPLITS) or min(split_ratios) <= 0 or abs(sum(split_ratios) - 1) > 1e-6:
            raise ValueError(
                f"`split_ratios` must be three positive shares of {SPLITS} that add up to 1. "
                f"Received: {split_ratios!r}."
            )
        if max_image_pixels < 1 or max_image_bytes < 1:
            raise ValueError(
                "`max_image_pixels` and `max_image_bytes` must be positive. "
                f"Received: {max_image_pixels!r} and {max_image_bytes!r}."
            )
        columns = dict(columns or {})
        if not set(columns) <= set(COLUMNS) or len(set(columns.values())) != len(columns):
            raise ValueError(f"`columns` must map some of {COLUMNS} to different names. Received: {columns}.")
        self.columns = columns
        self.given_manifest = os.fspath(manifest)
        self.given_root = os.fspath(data_root) if data_root else None
        self.classes = tuple(classes) if classes is not None else None
        self.multi_label = multi_label
        self.strict = strict
        self.split_ratios = tuple(split_ratios)
        self.seed = seed
        self.max_image_pixels = max_image_pixels
        self.max_image_bytes = max_image_bytes

    def read(self) -> Listing:
        """See `Source.read`."""
        records = list(manifest_records(self.manifest, self.columns))
        ignored: Counter[str] = Counter()
        first_places: dict[str, str] = {}
        has = {
            name: any(isinstance(record, dict) and record.get(name) not in (None, "") for _, record in records)
            for name in ("split", "text", "image")
        }
        rows: list[Row] = []
        skipped: list[Skip] = []
        seen: set[str] = set()
        for place, record in records:
            try:
                if isinstance(record, SkipRowError):
                    raise record
                for name in set(record) - set(COLUMNS):
                    ignored[name] += 1
                    first_places.setdefault(name, place)
                row = self._row(place, record, has)
                if row.id in seen:
                    raise SkipRowError("duplicate_id", f"the id {row.id!r} was used above")
                seen.add(row.id)
                rows.append(row)
            except SkipRowError as error:
                skipped.append(Skip(error.reason, _id_or_place(record, place), error.detail, place))
        if self.strict:
            # One of a column, not one of a row.
            skipped += [
                Skip("unknown_column", first_places[name], unknown_column(name, ignored[name]), first_places[name])
                for name in sorted(ignored)
            ]
        classes = self.classes or tuple(sorted({label for row in rows for label in row.labels}))
        return Listing(
            rows=rows,
            skipped=skipped,
            classes=classes,
            ignored_columns=dict(sorted(ignored.items())),
            observed=_lacking(rows),
            warnings=_warnings(rows, self.manifest.lower().endswith(".csv")),
        )

    @functools.cached_property
    def manifest(self) -> str:
        """The manifest that is read. Found once: workers get the source with it, whatever comes meanwhile."""
        return newest_span(self.given_manifest)

    @property
    def data_root(self) -> str:
        """Folder that paths of pictures start from."""
        return self.given_root or os.path.dirname(absolute_path(self.manifest))

    def unlabelled_rows(self) -> Iterator[dict[str, str]]:
        """Yields `id`, `text` and `image` of each row, whatever else it has or lacks.

        Raises:
            ValueError: for a row without an id, or with neither text nor picture; the message names its place.
        """
        for place, record in manifest_records(self.manifest, self.columns):
            try:
                if isinstance(record, SkipRowError):
                    raise record
                row_id = record.get("id")
                row = {"id": str(row_id) if isinstance(row_id, int) else text_of(row_id, "id")}
                row.update(text=text_of(record.get("text"), "text"), image=_image_path(record, may_lack=True))
                if not row["id"]:
                    raise SkipRowError("missing_id", "`id` is empty or missing")
                if not row["text"] and not row["image"]:
                    raise SkipRowError("missing_image", "`text` and `image` are empty or missing")
            except SkipRowError as error:
                raise ValueError(f"{self.manifest!r}, {place}: {error.detail}. Put the row right.") from error
            yield row

    def image(self, row: Row) -> bytes:
        """See `Source.image`."""
        if not row.media["image"]:
            return b""
        return picture.read_picture(self._picture(row), self.max_image_pixels, self.max_image_bytes)

    def row_files(self, row: Row) -> Sequence[str]:
        """See `Source.row_files`."""
        return [self._picture(row)] if row.media["image"] else []

    def files(self) -> Iterator[tuple[str, str]]:
        """See `Source.files`. Pictures of rows that are left out count too: putting them right changes the data."""
        yield "manifest", self.manifest
        for _, record in manifest_records(self.manifest, self.columns):
            if isinstance(record, dict):
                try:
                    relative = _image_path(record, may_lack=True)
                    if not relative:
                        continue
                    path = inside(self.data_root, _as_on_disk(self.data_root, relative), "image")
                    yield f"image/{relative}", path
                except SkipRowError:
                    # Never opened, so its content is no part of the data; its name is part of the manifest.
                    continue

    def _picture(self, row: Row) -> str:
        # Resolved again: on a worker, and long after the manifest was read, a link may lead elsewhere.
        return inside(self.data_root, _as_on_disk(self.data_root, row.media["image"]), "image")

    def _row(self, place: str, record: dict[str, Any], has: Mapping[str, bool]) -> Row:
        """Checks one record, picture's content aside; `has` says which columns some row fills in."""
        row_id = record.get("id")
        if isinstance(row_id, int) and not isinstance(row_id, bool):
            row_id = str(row_id)
        row_id = text_of(row_id, "id")
        if not row_id:
            raise SkipRowError("missing_id", f"`id` is empty or missing{column_hint(record, 'id')}")
        text = text_of(record.get("text"), "text")
        if not text and not has["text"]:
            raise SkipRowError("empty_text", f"`text` is empty or missing{column_hint(record, 'text')}")
        relative = _image_path(record, may_lack=bool(text) and has["image"])
        labels = self._labels(record)
        if has["split"]:
            split_name = text_of(record.get("split"), "split").lower()
            if split_name not in SPLIT_NAMES:
                raise SkipRowError("unknown_split", f"`split` is {split_name!r}, expected one of {sorted(SPLIT_NAMES)}")
            split = SPLIT_NAMES[split_name]
        else:
            split = _split_by_hash(row_id, self.seed, self.split_ratios)
        # All of them before any is decoded, which takes a thousand times as long.
        # In a bucket each look takes a request: there the worker that reads the picture says so.
        path = inside(self.data_root, _as_on_disk(self.data_root, relative), "image") if relative else ""
        if relative and not is_address(path) and not os.path.isfile(path):
            raise SkipRowError("missing_image", f"there is no file {relative[:100]!r} in {self.data_root!r}")
        return Row(id=row_id, split=split, text=text, labels=labels, media={"image": relative}, place=place)

    def _labels(self, record: dict[str, Any]) -> tuple[str, ...]:
        """Returns the row's labels, each once, in the order given."""
        label, labels = record.get("label"), record.get("labels")
        if label not in (None, "") and labels not in (None, "", []):
            raise SkipRowError("label_and_labels", "both `label` and `labels` are filled in, one is expected")
        if labels in (None, ""):
            labels = [label] if label is not None else []
        if not isinstance(labels, list):
            raise SkipRowError("wrong_type", f"`labels` must be a list of names. Received: {labels!r}")
        names = tuple(dict.fromkeys(name for name in (_label_name(label) for label in labels) if name))
        if not names:
            raise SkipRowError("no_label", f"neither `label` nor `labels` names a class{column_hint(record, 'label')}")
        if len(names) > 1 and not self.multi_label:
            raise SkipRowError(
                "several_labels", f"{list(names)}: one label is expected. Set `multi_label` if this is right"
            )
        unknown = [name for name in names if self.classes is not None and name not in self.classes]
        if unknown:
            raise SkipRowError("unknown_label", f"{unknown} not among the classes {in_short(self.classes or ())}")
        return names


def describe_manifest(path: str, columns: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Looks at a manifest, for a configuration that fits it. Pictures are not opened.

    Args:
        path: str. The manifest.
        columns: see `ManifestSource`.

    Returns:
        dict with `classes` (list of str, sorted), `multi_label` (bool: some row has more than one label, or the
        manifest uses `labels`), `rows` (int), `rows_by_class` (dict), `has_split` (bool), `rows_by_split` (dict; by
        hash where the manifest has no split), `words` (dict of `median`, `95th`, `max` words a text), and `skipped`
        (dict from reason to number), `ignored_columns` (dict from name to number of rows) and `warnings` (list of str).

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when no row can be used.
    """
    listing = ManifestSource(path, multi_label=True, strict=False, columns=columns).read()
    if not listing.rows:
        first = f" The first problem: {listing.skipped[0].message()}." if listing.skipped else " It is empty."
        raise ValueError(f"{path!r} has no usable row.{first}")
    records = [record for _, record in manifest_records(path, columns or {}) if isinstance(record, dict)]
    words = sorted(len(words_of_text(row.text)) for row in listing.rows)
    return {
        "classes": list(listing.classes),
        "multi_label": any(record.get("labels") not in (None, "", []) for record in records),
        "rows": len(listing.rows),
        "rows_by_class": dict(sorted(Counter(label for row in listing.rows for label in row.labels).items())),
        "has_split": any(record.get("split") not in (None, "") for record in records),
        "rows_by_split": dict(Counter(row.split for row in listing.rows)),
        "words": {
            "median": words[len(words) // 2],
            "95th": words[min(len(words) - 1, (95 * len(words)) // 100)],
            "max": words[-1],
        },
        "skipped": dict(sorted(Counter(skip.reason for skip in listing.skipped).items())),
        "ignored_columns": listing.ignored_columns,
        "warnings": listing.warnings,
    }


def _lacking(rows: Sequence[Row]) -> dict[str, int]:
    counts = {
        "without a text": sum(not row.text for row in rows),
        "without a picture": sum(not row.media["image"] for row in rows),
    }
    return {what: count for what, count in counts.items() if count}


def _image_path(record: dict[str, Any], may_lack: bool = False) -> str:
    """The picture's path, with slashes also where it was written on Windows."""
    relative = text_of(record.get("image"), "image").replace("\\", "/")
    if not relative and not may_lack:
        raise SkipRowError("missing_image", f"`image` is empty or missing{column_hint(record, 'image')}")
    return relative


def _as_on_disk(root: str, relative: str) -> str:
    """The path with letters composed or decomposed as in the file's name: `é` is one sign or two."""
    if relative.isascii() or is_address(root) or os.path.isfile(os.path.join(root, relative)):
        return relative
    forms = (unicodedata.normalize(form, relative) for form in ("NFC", "NFD"))
    return next((form for form in forms if os.path.isfile(os.path.join(root, form))), relative)


def _label_name(label: Any) -> str:
    """A class's name; in JSON also whole numbers and booleans, which CSV cannot tell from text."""
    if isinstance(label, bool):
        return "true" if label else "false"
    return text_of(str(label) if isinstance(label, int) else label, "label")


def _warnings(rows: list[Row], is_csv: bool) -> list[str]:
    """What looks wrong though it can be used."""
    told = []
    names = sorted({label for row in rows for label in row.labels if _LOOKS_LIKE_A_LIST.search(label)})
    if names:
        told.append(
            f"classes look like lists: {in_short(names, 3)}; several labels are written as a list in JSONL (`labels`), "
            "with | between them in CSV"
        )
    alike: dict[str, list[str]] = {}
    for name in sorted({label for row in rows for label in row.labels}):
        alike.setdefault(comparable_text(unicodedata.normalize("NFKC", name)), []).append(name)
    if twins := [", ".join(map(repr, names)) for names in alike.values() if len(names) > 1]:
        told.append(
            f"classes differ in capitals, blanks or composed letters alone, and are different classes here: "
            f"{in_short(twins, 3)}"
        )
    if names := [name for names in alike.values() for name in names if name.casefold() in _NO_VALUE]:
        told.append(f"classes are called as programs write a missing value: {in_short(names, 3)}")
    if valueless := [row for row in rows if row.text.casefold() in _NO_VALUE]:
        told.append(
            f"{len(valueless)} texts are what programs write for a missing value, the first, {valueless[0].text!r}, in "
            f"{valueless[0].place}"
        )
    broken = [row for row in rows if is_csv and "\n" in row.text]
    if broken:
        told.append(
            f"{len(broken)} rows have line breaks in the text, the first in {broken[0].place}: where that is not "
            "meant, a quotation mark is not closed and other rows are part of the text"
        )
    return told


def _split_by_hash(row_id: str, seed: int, ratios: Sequence[float]) -> str:
    """Draws a row's split from its id alone."""
    digest = hashlib.sha256(f"{seed}:{row_id}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < ratios[0]:
        return "train"
    return "dev" if position < ratios[0] + ratios[1] else "test"


def _id_or_place(record: dict[str, Any] | SkipRowError, place: str) -> str:
    row_id = record.get("id") if isinstance(record, dict) else None
    return str(row_id) if isinstance(row_id, str | int) and str(row_id).strip() and is_utf8(str(row_id)) else place
