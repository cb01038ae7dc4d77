"""Reads the records of a manifest, JSON lines or CSV, by the names that columns have here."""

from __future__ import annotations

import csv
import difflib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from components.multimodal_example_gen.record import in_short, is_utf8, jsonl_records
from components.multimodal_example_gen.row import SkipRowError
from hfmnas_keras.data.stored_files import is_file

COLUMNS = ("id", "split", "text", "image", "label", "labels")

# What others call our columns, in small letters.
_OTHER_NAMES = {
    "id": ("index", "row_id", "image_id", "key", ""),
    "text": ("description", "caption", "sentence", "texts", "title", "content", "tweet"),
    "image": ("img", "picture", "file", "filename", "file_name", "path", "image_path", "img_path", "photo"),
    "label": ("class", "category", "target", "y", "tags", "genres"),
}


def manifest_records(path: str, columns: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any] | SkipRowError]]:
    """Yields `(place, record)` of each row; a row that cannot be parsed yields its error instead of a record.

    Args:
        path: str. `.csv`, else JSON lines; a path or an address.
        columns: mapping from names in `COLUMNS` to what the manifest calls them.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is UTF-16 or of another format, or a CSV without the columns that are needed.
    """
    if not is_file(path):
        raise FileNotFoundError(f"There is no manifest at {path!r}.")
    with tf.io.gfile.GFile(path, "rb") as file:
        data = file.read()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{path!r} is UTF-16, as spreadsheets save `Unicode text`. Save it as UTF-8 (`CSV UTF-8`).")
    data = data.removeprefix(b"\xef\xbb\xbf")  # Spreadsheets put a byte order mark in front.
    is_csv = path.lower().endswith(".csv")
    if other := _other_format(data, is_csv):
        raise ValueError(f"{path!r} {other}.")
    for place, record in _csv_records(data, path, columns) if is_csv else jsonl_records(data):
        if isinstance(record, dict):
            if not is_utf8("".join(record)):
                record = SkipRowError("not_utf8", "the name of a column cannot be written as UTF-8")
            elif not is_csv:
                record = _with_usual_names(record, columns)
        yield place, record


def _other_format(data: bytes, is_csv: bool) -> str:
    """Names what is no manifest by how it begins; empty for what may be one."""
    if data.startswith(b"PK\3\4"):
        return "is a spreadsheet or another ZIP file. Save it as CSV (`CSV UTF-8`)"
    if data.startswith(b"\x1f\x8b"):
        return "is compressed by gzip. Unpack it"
    zeros = data[:200].count(0)
    if zeros > 8 and zeros > len(data[:200]) / 3:
        return "holds zero bytes, as UTF-16 does. Save it as UTF-8 (`CSV UTF-8`)"
    if not is_csv and data.lstrip().startswith(b"["):
        return "is one JSON list. JSON lines have an object in each line, without commas between them"
    return ""


def _csv_records(
    data: bytes, path: str, columns: Mapping[str, str]
) -> Iterator[tuple[str, dict[str, Any] | SkipRowError]]:
    # Bytes that are not UTF-8 become lone surrogates, so that only their own row is lost.
    text = data.decode("utf-8", "surrogateescape")
    # A text may be as long as the file; the library's own limit is 131,072 letters.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    lines = io.StringIO(text, newline="").readlines()
    before, reader = 0, csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise ValueError(f"The header of {path!r} is not CSV: {error}.") from error
    given = header
    if _each_once(given):
        header = list(_with_usual_names(dict.fromkeys(given, ""), columns))
    known = set(header)
    if absent := sorted(set(columns.values()) - set(given)):
        raise ValueError(f"`columns` names {absent}, which {path!r} lacks. Its header: {in_short(given)}.")
    lost = [name for name in ("id", "text", "image") if name not in known]
    if lost or not {"label", "labels"} & known or not _each_once(given):
        hints = "".join(dict.fromkeys(column_hint(dict.fromkeys(header, ""), name) for name in (lost or ["label"])))
        if separator := next((sign for sign in ";\t|" if len(given) == 1 and given[0].count(sign) > 1), ""):
            hints = f"; {separator!r} separates its columns: save it with commas"
        raise ValueError(
            f"{path!r} needs a header with each of id, text, image and label (or labels) once. Received: "
            f"{in_short(given)}{hints}."
        )
    while True:
        number = before + reader.line_num + 1
        place = f"line {number}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            last = before + reader.line_num
            read_on = f"; a quotation mark that is not closed made it read on to line {last}" if last > number else ""
            yield place, SkipRowError("broken_row", f"the row is not CSV: {error}{read_on}")
            # The lines that it swallowed are rows of their own.
            before, reader = number, csv.reader(_from(lines, number), strict=True)
            continue
        if not fields:
            continue
        last = before + reader.line_num
        if last > number and _are_rows(lines[number - 1 : last], header, fields):
            yield (
                place,
                SkipRowError(
                    "broken_row",
                    f"the row reads on to line {last}, over lines that look like rows of their own: a quotation mark "
                    "is not closed where its text ends",
                ),
            )
            before, reader = number, csv.reader(_from(lines, number), strict=True)
            continue
        if len(fields) != len(header):
            yield place, SkipRowError("broken_row", f"the row has {len(fields)} fields, the header {len(header)}")
            continue
        if not is_utf8("".join(fields)):
            yield place, SkipRowError("not_utf8", "the row is not UTF-8")
            continue
        record: dict[str, Any] = dict(zip(header, fields, strict=True))
        if record.get("labels"):
            record["labels"] = record["labels"].split("|")
        yield place, record


def _are_rows(lines: Sequence[str], header: Sequence[str], fields: Sequence[str]) -> bool:
    """Whether each line of a row looks like a row: so many fields, and the name of a picture of the same kind in one.

    Two stray quotation marks, in rows one below the other, make one row of all between them that is right as CSV.
    """
    if len(fields) != len(header):
        return False
    ending = os.path.splitext(fields[header.index("image")].strip())[1].lower()
    if not ending:
        return False
    split = [line.lower().rstrip("\r\n").split(",") for line in lines]
    return all(
        len(parts) >= len(header) and any(part.strip(' "').endswith(ending) for part in parts) for parts in split
    )


def _from(lines: list[str], start: int) -> Iterator[str]:
    return (lines[number] for number in range(start, len(lines)))


def _each_once(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names)


def _with_usual_names(record: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """Names columns as they are named here, where `columns` says so or capitals alone differ."""
    if columns:
        ours = {theirs: own for own, theirs in columns.items()}
        # A column of our name that is not meant: one without meaning.
        record = {
            ours.get(name, f"{name} (of the manifest)" if name in columns else name): value
            for name, value in record.items()
        }
    usual = {name: name.strip().lower() for name in record if name not in COLUMNS}
    usual = {name: small for name, small in usual.items() if small in COLUMNS and small not in record}
    if len(set(usual.values())) != len(usual):
        return record
    return {usual.get(name, name): value for name, value in record.items()}


def column_hint(record: dict[str, Any], wanted: str) -> str:
    """Names a column of a record that is probably meant by a missing one, as the end of a message."""
    unknown = [name for name in record if name not in COLUMNS]
    small = {name.strip().lower(): name for name in unknown}
    meant = [small[name] for name in _OTHER_NAMES[wanted] if name in small]
    meant += [small[name] for name in difflib.get_close_matches(wanted, list(small), n=1)]
    if meant:
        return f"; did you mean the column {meant[0]!r}? Set `columns: {{{wanted}: {meant[0]}}}`, or rename it"
    return f"; unknown columns: {in_short(unknown)}" if unknown and wanted not in record else ""


def unknown_column(name: str, count: int) -> str:
    """Says of a column without meaning what to do with it."""
    meant = next((known for known, others in _OTHER_NAMES.items() if name.strip().lower() in others), "")
    cure = f"Set `columns: {{{meant}: {name}}}` or rename it" if meant else "Rename it or take it out"
    if not name.strip():
        cure = "It has no name, as pandas writes an index: write with `index=False`"
    return (
        f"the column {name!r} of {count} rows is none of {', '.join(COLUMNS)}. {cure}, or set `strict` to false: then "
        "it is ignored, and the rows are kept"
    )
