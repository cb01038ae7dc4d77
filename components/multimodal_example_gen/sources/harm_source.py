"""HARM-C and HARM-P, the memes of MOMENTA: JSON lines a split, beside a folder of pictures."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from components.multimodal_example_gen.readers import picture
from components.multimodal_example_gen.record import comparable_text, inside, jsonl_records, read_bounded, text_of
from components.multimodal_example_gen.row import (
    NOT_HARMFUL,
    NOT_HARMFUL_TEXT,
    OTHER_LABEL,
    SHARES_LABEL,
    Row,
    Skip,
    SkipRowError,
)
from components.multimodal_example_gen.sources.source import Listing, Source, mounted_root

#: The levels on disk, in the order of MOMENTA's class numbers. (The paper calls the middle one "partially harmful".)
LEVELS = (NOT_HARMFUL, "somewhat harmful", "very harmful")
TWO_CLASSES = (NOT_HARMFUL, "harmful")
TARGETS = ("individual", "organization", "community", "society")
#: Names of the annotation files without `.jsonl`; those of the second release (V1) of HARM-P come first.
FILES = {"train": ("train_v1", "train"), "dev": ("val_v1", "val"), "test": ("test_v1", "test")}
#: What Table I of the paper states.
PUBLISHED_ROWS = {
    "C": {"train": 3013, "dev": 177, "test": 354},
    "P": {"train": 3020, "dev": 177, "test": 355},
}
PUBLISHED_NOTES = {
    "C": "",
    "P": "The paper's 3020 are the first release, which its authors call obsolete: it repeats rows. The second (V1) "
    "has 2938/177/355, so results on it cannot be compared with the paper's",
}
EMPTY_LABELS = ("very harmful", "skip")
#: The largest file of the authors has half a million bytes.
MAX_ANNOTATION_BYTES = 64 * 1024 * 1024

_COLUMNS = ("id", "image", "labels", "text")
_ID = re.compile(r"[\w.-]{1,100}", re.ASCII)


class HarmSource(Source):
    """HARM-C or HARM-P as `HarMeme_V1` of MOMENTA's repository has them.

    Annotations are `train`, `val` and `test` with `.jsonl`, or, for the second release of HARM-P, with `_v1.jsonl`
    (taken where both are there). A line is `{"id", "image", "labels", "text"}`: the first label is the level of harm,
    any number of targets may follow, which are not used. Pictures lie in one folder.

    MOMENTA's code takes everything that is neither "not harmful" nor "somewhat harmful" for "very harmful"; one row of
    HARM-P has the label "" and is counted so by its README. Here `empty_label` says what becomes of it, and other
    unknown labels leave a row out.

    Texts that occur in more than one split are counted, because a model may know them by heart: the same meme text
    over another picture is common. `drop_repeated` leaves them out of the training split.

    What is left out has a reason: `broken_row`, `not_utf8`, `wrong_type`, `missing_id`, `wrong_id`, `duplicate_id`,
    `empty_text`, `missing_image`, `path_outside_root`, `no_label`, `empty_label`, `unknown_label`,
    `text_in_other_split`, and those of `readers.picture.read_picture`. No text of the data is
    in any message: much of it is offensive.

    Args:
        subset: str. `"C"` (COVID-19) or `"P"` (US politics).
        data_root: str. Folder that both of the following are in.
        annotations: str or None. Folder of the annotations below `data_root`. `None` (default) is that of the
            repository, `HarMeme_V1/Annotations/Harm-C` or `-P`.
        images: str. Folder of the pictures below `data_root`. Defaults to `"images"`.
        classes: list of str. `LEVELS` (default) or `TWO_CLASSES`, where the two levels of harm are one class.
        empty_label: str. What the label "" means: `"very harmful"` (default) or `"skip"`.
        drop_repeated: bool. Whether training rows whose text is also in dev or test are left out. Defaults to `False`,
            as everybody's results are with them.

    Raises:
        ValueError: for settings out of range.
    """

    name = "harm"
    paths = ("data_root",)
    attribution = "HarMeme (Pramanick et al., 2021): memes from the web, for research."
    strict = False
    inconsistency_policies = (NOT_HARMFUL_TEXT, OTHER_LABEL, SHARES_LABEL)

    def __init__(
        self,
        subset: str,
        data_root: str,
        annotations: str | None = None,
        images: str = "images",
        classes: Sequence[str] = LEVELS,
        empty_label: str = "very harmful",
        drop_repeated: bool = False,
    ):
        if subset not in PUBLISHED_ROWS:
            raise ValueError(f"`subset` must be one of {tuple(PUBLISHED_ROWS)}. Received: {subset!r}.")
        if tuple(classes) not in (LEVELS, TWO_CLASSES):
            raise ValueError(f"`classes` must be {LEVELS} or {TWO_CLASSES}, in this order. Received: {tuple(classes)}.")
        if empty_label not in EMPTY_LABELS:
            raise ValueError(f"`empty_label` must be one of {EMPTY_LABELS}. Received: {empty_label!r}.")
        self.subset = subset
        self.data_root = mounted_root(self.name, data_root)
        self.annotations = annotations or f"HarMeme_V1/Annotations/Harm-{subset}"
        self.images = images
        self.classes = tuple(classes)
        self.empty_label = empty_label
        self.drop_repeated = drop_repeated
        self.published_rows = PUBLISHED_ROWS[subset]
        self.published_note = PUBLISHED_NOTES[subset]

    def read(self) -> Listing:
        """See `Source.read`."""
        rows: list[Row] = []
        skipped: list[Skip] = []
        observed: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        seen: set[str] = set()
        for split, path in self._annotation_files().items():
            name = os.path.basename(path)
            for line, record in jsonl_records(_read(path)):
                place, row_id = f"{name}, {line}", f"{name}, {line}"
                try:
                    if isinstance(record, SkipRowError):
                        raise record
                    ignored.update("(unknown)" for column in record if column not in _COLUMNS)
                    row_id = _id(record)
                    if row_id in seen:
                        raise SkipRowError("duplicate_id", "the id was used above")
                    seen.add(row_id)
                    rows.append(self._row(row_id, split, place, record, observed))
                except SkipRowError as error:
                    skipped.append(Skip(error.reason, row_id, error.detail, place))
        rows = self._without_repeated(rows, skipped, observed)
        return Listing(
            rows=rows, skipped=skipped, classes=self.classes, ignored_columns=dict(ignored), observed=dict(observed)
        )

    def image(self, row: Row) -> bytes:
        """See `Source.image`."""
        # Resolved again: long after the listing, a link may lead elsewhere.
        return picture.read_picture(inside(self.data_root, row.media["image"], "image"))

    def row_files(self, row: Row) -> Sequence[str]:
        """See `Source.row_files`."""
        return [inside(self.data_root, row.media["image"], "image")]

    def files(self) -> Iterator[tuple[str, str]]:
        """See `Source.files`. Pictures of rows that are left out count too: putting them right changes the data."""
        for split, path in self._annotation_files().items():
            yield f"annotations/{split}", path
            for _, record in jsonl_records(_read(path)):
                if isinstance(record, dict):
                    try:
                        relative = self._image(record)
                        yield relative, inside(self.data_root, relative, "image")
                    except SkipRowError:
                        # Never opened, so its content is no part of the data.
                        continue

    def _annotation_files(self) -> dict[str, str]:
        """Finds the file of each split."""
        found = {}
        for split, names in FILES.items():
            try:
                paths = [inside(self.data_root, f"{self.annotations}/{name}.jsonl", "annotations") for name in names]
            except SkipRowError as error:
                raise ValueError(f"The annotations of {self.data_root!r} cannot be read: {error.detail}.") from error
            there = [path for path in paths if os.path.isfile(path)]
            if not there:
                raise FileNotFoundError(
                    f"There is none of {[f'{name}.jsonl' for name in names]} in "
                    f"{os.path.join(self.data_root, self.annotations)!r}. Put MOMENTA's `HarMeme_V1` and the pictures "
                    f"as `images` into {self.data_root!r}, or name other folders by `data.data_root`, "
                    "`data.annotations` and `data.images`."
                )
            found[split] = there[0]
        return found

    def _row(self, row_id: str, split: str, place: str, record: dict[str, Any], observed: Counter[str]) -> Row:
        text = text_of(record.get("text"), "text")
        if not text:
            raise SkipRowError("empty_text", "`text` is empty or missing")
        label = self._label(record.get("labels"), observed)
        relative = self._image(record)
        if not os.path.isfile(inside(self.data_root, relative, "image")):
            raise SkipRowError("missing_image", "the picture is not there")
        if os.path.splitext(os.path.basename(relative))[0] != row_id:
            observed["id is not the picture's name"] += 1
        return Row(id=row_id, split=split, text=text, labels=(label,), media={"image": relative}, place=place)

    def _image(self, record: dict[str, Any]) -> str:
        name = text_of(record.get("image"), "image")
        if not name:
            raise SkipRowError("missing_image", "`image` is empty or missing")
        # The name is checked alone first: behind the folder an absolute path would look relative.
        inside(self.data_root, name, "image")
        return f"{self.images}/{name}"

    def _label(self, labels: Any, observed: Counter[str]) -> str:
        """Returns the class of a row's labels."""
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise SkipRowError("wrong_type", f"`labels` must be a list of texts. Received: {type(labels).__name__}")
        if not labels:
            raise SkipRowError("no_label", "`labels` is empty")
        level, *targets = labels
        if not level:
            if self.empty_label == "skip":
                raise SkipRowError("empty_label", "the level of harm is the empty text")
            observed[f"empty label read as {self.empty_label!r}"] += 1
            level = self.empty_label
        if level not in LEVELS:
            raise SkipRowError("unknown_label", f"the level of harm is none of {LEVELS}")
        if len(targets) > 1:
            observed["several targets"] += 1
        if level == NOT_HARMFUL and targets:
            observed["not harmful, with a target"] += 1
        if level != NOT_HARMFUL and not targets:
            observed["harmful, without a target"] += 1
        if set(targets) - set(TARGETS):
            observed["unknown target"] += 1
        return level if self.classes == LEVELS or level == NOT_HARMFUL else "harmful"

    def _without_repeated(self, rows: list[Row], skipped: list[Skip], observed: Counter[str]) -> list[Row]:
        """Counts texts that occur more than once, and leaves them out of train if so set."""
        texts = {split: Counter(comparable_text(row.text) for row in rows if row.split == split) for split in FILES}
        repeated = sum(count - 1 for count in texts["train"].values())
        if repeated:
            observed["text in train more than once"] = repeated
        for split in ("dev", "test"):
            if also := sum(count for text, count in texts[split].items() if text in texts["train"]):
                observed[f"text of a {split} row also in train"] = also
        if not self.drop_repeated:
            return rows
        kept = []
        for row in rows:
            text = comparable_text(row.text)
            if row.split == "train" and (text in texts["dev"] or text in texts["test"]):
                detail = "the text is also that of a row in dev or test"
                skipped.append(Skip("text_in_other_split", row.id, detail, row.place))
            else:
                kept.append(row)
        return kept


def _id(record: dict[str, Any]) -> str:
    row_id = text_of(record.get("id"), "id")
    if not row_id:
        raise SkipRowError("missing_id", "`id` is empty or missing")
    if not _ID.fullmatch(row_id):
        raise SkipRowError("wrong_id", "`id` must be up to 100 letters, digits, '_', '-' and '.'")
    return row_id


def _read(path: str) -> bytes:
    try:
        return read_bounded(path, MAX_ANNOTATION_BYTES)
    except SkipRowError as error:
        raise ValueError(f"The annotations {path!r} cannot be read: {error.detail}.") from error
