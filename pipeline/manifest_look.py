"""What a manifest holds, looked at before anything is trained."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from components.linear_references.raw_rows import RawRows
from components.linear_references.references import fit_references
from components.linear_references.row_features import ROW_FEATURES
from components.multimodal_example_gen.row import SPLITS, Row, SkipRowError
from components.multimodal_example_gen.sources.manifest_source import ManifestSource, describe_manifest
from components.multimodal_example_gen.word_coverage import word_coverage
from components.words import words_of_text

#: Train and dev rows whose pictures are opened at most; texts are cheap, and all of them are read.
LARGEST_PICTURE_SPLIT = {"train": 1000, "dev": 500}
_LARGEST_TEXT_SPLIT = 20_000
#: How often a word occurs in the train texts, for which the words are counted.
FREQUENCIES = (1, 2, 3, 5, 10)


@dataclasses.dataclass(frozen=True)
class ManifestLook:
    """What was seen.

    Args:
        classes: tuple of str, sorted.
        multi_label: bool.
        rows: dict of int by split.
        rows_by_class: dict of int by split and class.
        labels_a_row: float. Mean over the train rows.
        words_a_text: dict of `median`, `95th` and `max`, ints, of all texts.
        vocabulary: dict of int. Different words of the train texts that occur at least so often, by `FREQUENCIES`.
        picture_size: pair of ints. Median height and width of the pictures that were opened; `None` without any.
        dev_macro_f1: dict of float. Macro F1 of linear models on dev, by name: `text` on all rows, `image`, `joined`
            and `average` on those whose pictures were opened.
        left_out: dict from reason to the number of rows that cannot be used, pictures aside.
        bad_pictures: list of str. What is wrong with pictures that were opened.
        opened: int. Pictures that were opened.
        ignored_columns: dict from the name of a column without meaning here to its number of rows.
        warnings: tuple of str. What looks wrong though it can be used.
        covered: dict. Share of the words of each split that occur so often in train, see `word_coverage`.
        wordless: int. Texts without a word.
        lacking: dict from what is lacking, such as `without a text`, to the number of rows, which are kept.
    """

    classes: tuple[str, ...]
    multi_label: bool
    rows: dict[str, int]
    rows_by_class: dict[str, dict[str, int]]
    labels_a_row: float
    words_a_text: dict[str, int]
    vocabulary: dict[int, int]
    picture_size: tuple[int, int] | None
    dev_macro_f1: dict[str, float]
    left_out: dict[str, int]
    bad_pictures: list[str]
    opened: int
    ignored_columns: dict[str, int] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    covered: dict[int, dict[str, float]] = dataclasses.field(default_factory=dict)
    wordless: int = 0
    lacking: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def imbalance(self) -> float:
        """Train rows of the most frequent class for one of the rarest that has any."""
        counts = [count for count in self.rows_by_class["train"].values() if count]
        return max(counts) / min(counts)

    @property
    def guessing(self) -> float:
        """Macro F1 of labels drawn at random: one of the classes, or each label with its own share of the rows."""
        return (self.labels_a_row if self.multi_label else 1.0) / len(self.classes)

    @property
    def best_single(self) -> tuple[str, float]:
        """The modality whose linear model is best on dev, and its macro F1."""
        name = max(("text", "image"), key=lambda one: self.dev_macro_f1.get(one, 0.0))
        return name, self.dev_macro_f1.get(name, 0.0)

    def problems(self) -> list[str]:
        """What would stop a run, or spoil its scores, one sentence each."""
        told = []
        for split in SPLITS:
            absent = [name for name, count in self.rows_by_class[split].items() if not count]
            if absent:
                told.append(f"No row of {split} has {_listed(absent)}; macro F1 counts such a class as 0.")
        for name, count in self.ignored_columns.items():
            told.append(
                f"The column {name!r} of {count} rows has no meaning here: a run with `strict: true` refuses it, one "
                "with `strict: false` ignores it."
            )
        told += [f"{warning[:1].upper()}{warning[1:]}." for warning in self.warnings]
        if self.wordless:
            told.append(f"{self.wordless} texts have no word: no letter and no digit, as of emoji alone.")
        for what, number in self.lacking.items():
            told.append(f"{number} {'row is' if number == 1 else 'rows are'} {what}: kept, and answered by the other.")
        if self.left_out:
            reasons = ", ".join(f"{count} for {reason}" for reason, count in self.left_out.items())
            number = sum(self.left_out.values())
            told.append(f"{number} {'row' if number == 1 else 'rows'} cannot be used: {reasons}.")
        if self.bad_pictures:
            tried = self.opened + len(self.bad_pictures)
            told.append(
                f"{len(self.bad_pictures)} of {tried} pictures that were tried cannot be used, the first: "
                f"{self.bad_pictures[0]}."
            )
        return told


def look_at_manifest(manifest: str, columns: Mapping[str, str] | None = None) -> ManifestLook:
    """Counts rows, words and labels, opens some pictures, and fits linear models.

    Args:
        manifest: str. JSONL or CSV file.
        columns: what it calls its columns, see `ManifestSource`. Defaults to `None`: as they are named here.

    Returns:
        `ManifestLook`.

    Raises:
        FileNotFoundError: when there is no manifest.
        ValueError: when no row can be used, a split has no row, or there are fewer than two classes.
    """
    description = describe_manifest(manifest, columns)
    classes, multi_label = description["classes"], description["multi_label"]
    source = ManifestSource(manifest, multi_label=multi_label, strict=False, columns=columns)
    listing = source.read()
    rows = {split: [row for row in listing.rows if row.split == split] for split in SPLITS}
    counts = {split: len(of_split) for split, of_split in rows.items()}
    if len(classes) < 2:
        raise ValueError(f"{manifest} has the classes {classes}; at least two are needed.")
    if absent := [split for split, count in counts.items() if not count]:
        cure = (
            f"Write `split` {' and '.join(map(repr, absent))} into some rows."
            if description["has_split"]
            else "Add rows: without `split`, a hash of `id` gives dev a tenth and test a fifth of them."
        )
        shown = ", ".join(f"{split} {count}" for split, count in counts.items())
        raise ValueError(f"{manifest} has no row of {' and '.join(absent)} ({shown}). {cure}")
    texts = {split: _picked(rows[split], _LARGEST_TEXT_SPLIT) for split in ("train", "dev")}
    scores = _dev_scores({split: (of_split, None) for split, of_split in texts.items()}, classes, multi_label)
    opened = {split: _open(source, _picked(rows[split], most)) for split, most in LARGEST_PICTURE_SPLIT.items()}
    sizes = [size for of_split in opened.values() for size in of_split.sizes]
    if all(of_split.rows for of_split in opened.values()):
        seen = {split: (of_split.rows, np.stack(of_split.numbers)) for split, of_split in opened.items()}
        # The texts keep their score on all rows.
        scores = {**_dev_scores(seen, classes, multi_label), **scores}
    frequencies = Counter(word for row in rows["train"] for word in words_of_text(row.text))
    coverage = word_coverage(listing.rows)
    return ManifestLook(
        classes=tuple(classes),
        multi_label=multi_label,
        rows=counts,
        rows_by_class={
            split: {name: sum(name in row.labels for row in of_split) for name in classes}
            for split, of_split in rows.items()
        },
        labels_a_row=float(np.mean([len(row.labels) for row in rows["train"]])),
        words_a_text=description["words"],
        vocabulary={least: sum(count >= least for count in frequencies.values()) for least in FREQUENCIES},
        picture_size=tuple(int(side) for side in np.median(sizes, axis=0)) if sizes else None,  # type: ignore[arg-type]
        dev_macro_f1=scores,
        left_out=description["skipped"],
        bad_pictures=[problem for of_split in opened.values() for problem in of_split.problems],
        opened=len(sizes),
        ignored_columns=description["ignored_columns"],
        warnings=tuple(description["warnings"]),
        covered={int(least): shares for least, shares in coverage["covered"].items()},
        wordless=sum(coverage["wordless"].values()),
        lacking=listing.observed,
    )


@dataclasses.dataclass
class _Opened:
    """Rows whose pictures could be opened, with numbers and sizes of these; and what was wrong with others."""

    rows: list[Row] = dataclasses.field(default_factory=list)
    numbers: list[np.ndarray] = dataclasses.field(default_factory=list)
    sizes: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


def _open(source: ManifestSource, rows: list[Row]) -> _Opened:
    opened = _Opened()
    for row in rows:
        if not row.media["image"]:
            continue
        try:
            encoded = source.image(row)
        except SkipRowError as error:
            opened.problems.append(f"row {row.id!r}, {error.reason}: {error.detail}")
            continue
        opened.rows.append(row)
        opened.numbers.append(ROW_FEATURES["image"](encoded))
        # What the ingest stores.
        with Image.open(io.BytesIO(encoded), formats=("PNG", "JPEG")) as picture:
            opened.sizes.append((picture.height, picture.width))
    return opened


def _picked(rows: list[Row], most: int) -> list[Row]:
    """At most so many rows, picked by a hash of their id."""
    return sorted(rows, key=lambda row: hashlib.sha256(row.id.encode("utf-8")).digest())[:most]


def _dev_scores(
    rows: dict[str, tuple[list[Row], np.ndarray | None]], classes: Sequence[str], multi_label: bool
) -> dict[str, float]:
    """Dev macro F1 of linear models on texts and, where their numbers are given, on pictures and both."""
    raw = {}
    for split, (of_split, pictures) in rows.items():
        hot = np.array([[name in row.labels for name in classes] for row in of_split], "float32")
        columns: dict[str, Any] = {"text": [row.text for row in of_split]}
        if pictures is not None:
            columns["image"] = pictures
        raw[split] = RawRows(columns, hot if multi_label else hot.argmax(axis=1))
    return fit_references(raw["train"], raw["dev"], classes, multi_label).dev_macro_f1


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
