"""Tables of any kind as columns, and which of them are the text and the picture."""

from __future__ import annotations

import csv
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")
#: Columns of a manifest that are neither text nor picture.
SET_ASIDE = ("id", "split", "label", "labels")
_LONGEST_LINE = 10_000_000
_LARGEST_PICTURE = 100_000_000
_LOOKED_AT = 200


class Table:
    """Rows as columns of equal length.

    Args:
        columns: dict from name to list of values; `None` where there is none.
        folder: folder that paths of pictures are relative to.
        within: bool. Whether a path that leads out of the folder is refused, as of a file that others may have written.
    """

    def __init__(self, columns: Mapping[str, list[Any]], folder: str | os.PathLike = ".", within: bool = False):
        self.columns = dict(columns)
        self.folder = pathlib.Path(folder)
        self.within = within
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"A table needs columns of one length. Received: {lengths or 'no column'}.")
        self.num_rows = next(iter(lengths.values()))
        if not self.num_rows:
            raise ValueError(f"The table has no rows. Its columns: {', '.join(self.columns)}.")

    def column(self, name: str) -> list[Any]:
        """The values of a column."""
        if name not in self.columns:
            raise ValueError(f"There is no column {name!r}. Columns: {', '.join(self.columns)}.")
        return self.columns[name]

    def texts(self, name: str) -> list[str]:
        """The texts of a column; a missing one is empty."""
        return ["" if value is None else str(value) for value in self.column(name)]

    def picture(self, name: str, row: int) -> bytes:
        """The encoded picture of a row; empty where the row has none, `None` or an empty string.

        Raises:
            ValueError: when it is no path, no bytes and no array, or leads out of the folder.
            OSError: when the file cannot be read.
        """
        value = self.column(name)[row]
        if value is None or (isinstance(value, str) and not value):
            return b""
        if isinstance(value, bytes):
            return value
        if isinstance(value, np.ndarray) and value.ndim == 3 and value.dtype == np.uint8:
            import tensorflow as tf

            return tf.io.encode_png(value[..., :3]).numpy()
        if not isinstance(value, (str, os.PathLike)):
            raise ValueError(
                f"Row {row}: a picture in column {name!r} must be the path of a file, its bytes, or a uint8 array "
                f"(height, width, 3). Received: {type(value).__name__}."
            )
        path = self.folder / value
        if self.within and not path.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(f"Row {row}: {str(value)!r} leads out of the folder {str(self.folder)!r}.")
        if not path.is_file():
            # Nor does a pipe or a device, which would be waited for.
            raise FileNotFoundError(f"Row {row}: {str(path)!r} is no file.")
        if (size := path.stat().st_size) > _LARGEST_PICTURE:
            raise ValueError(f"Row {row}: {path} has {size:,} bytes. At most {_LARGEST_PICTURE:,} are read.")
        return path.read_bytes()

    def rows(self, numbers: Iterable[int]) -> Table:
        """The rows of these numbers."""
        numbers = list(numbers)
        columns = {name: [values[number] for number in numbers] for name, values in self.columns.items()}
        return Table(columns, self.folder, self.within)


def read_table(data: Any, folder: str | os.PathLike | None = None) -> Table:
    """Reads what people keep their rows in.

    Args:
        data: a pandas or similar DataFrame, a list of dicts, a dict of columns, or the path of a `.jsonl`, `.csv` or
            `.parquet` file (the last one needs pandas).
        folder: that paths of pictures are relative to. Defaults to the file's own, which paths must not leave, else to
            the working folder.

    Raises:
        ValueError: when it is none of these, or a file is damaged.
    """
    if isinstance(data, Table):
        return data
    if isinstance(data, (str, os.PathLike)):
        path = pathlib.Path(data)
        return Table(_columns_of_file(path), folder or path.parent, within=True)
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        columns = {str(name): [_value(value) for value in data[name].tolist()] for name in data.columns}
    elif isinstance(data, Mapping):
        columns = {str(name): [_value(value) for value in values] for name, values in data.items()}
    elif isinstance(data, Sequence) and data and all(isinstance(row, Mapping) for row in data):
        columns = _columns_of_rows(data)
    else:
        raise ValueError(
            "`data` must be a DataFrame, a list of dicts, a dict of columns, or the path of a .jsonl, .csv or .parquet "
            f"file. Received: {type(data).__name__}."
        )
    return Table(columns, folder or ".")


def find_columns(
    table: Table,
    given: Mapping[str, str] | None = None,
    labels: Iterable[str] = (),
    modalities: Sequence[str] = ("text", "image"),
) -> dict[str, str]:
    """Which column is the text and which the picture.

    Pictures are a column of bytes, of arrays, or of names that end like pictures; the text is the one other column of
    strings. Of several a column with the modality's name, `text` or `image`, is taken.

    Args:
        table: `Table`.
        given: dict from `"text"` or `"image"` to the name of a column, for those to be named. Defaults to `None`.
        labels: columns of labels, which are neither.
        modalities: those to find. Defaults to both.

    Returns:
        dict from modality to name of a column.

    Raises:
        ValueError: when there is none, or several could be it.
    """
    given = dict(given or {})
    if unknown := sorted(set(given) - {"text", "image"}):
        raise ValueError(f"`columns` names the columns of 'text' and 'image'. Received: {', '.join(unknown)}.")
    for name in given.values():
        table.column(name)
    open_columns = {
        name: _kind(values)
        for name, values in table.columns.items()
        if name not in {*SET_ASIDE, *labels, *given.values()}
    }
    found = dict(given)
    for modality in modalities:
        if modality in found:
            continue
        fitting = [name for name, kind in open_columns.items() if kind == modality]
        if modality in fitting:
            fitting = [modality]
        if len(fitting) != 1:
            told = f"several columns could be it: {', '.join(fitting)}" if fitting else "no column looks like it"
            what = "paths of PNG or JPEG files, their bytes, or arrays" if modality == "image" else "strings"
            raise ValueError(
                f"Which column is the {modality} ({what})? Of {', '.join(table.columns)}, {told}. "
                f"Name it: columns={{{modality!r}: ...}}."
            )
        found[modality] = fitting[0]
    return {modality: found[modality] for modality in modalities}


def _kind(values: Sequence[Any]) -> str | None:
    seen = [value for value in values if value is not None and not (isinstance(value, str) and not value)]
    seen = seen[:_LOOKED_AT]
    if not seen:
        return None
    if all(isinstance(value, (bytes, os.PathLike)) for value in seen):
        return "image"
    if all(isinstance(value, np.ndarray) and value.ndim == 3 for value in seen):
        return "image"
    if all(isinstance(value, str) for value in seen):
        if all(map(_is_number, seen)):
            return None
        pictures = sum(value.lower().endswith(PICTURE_ENDINGS) and "\n" not in value for value in seen)
        return "image" if pictures > 0.9 * len(seen) else "text"
    return None


def _is_number(text: str) -> bool:
    # All that a CSV has are strings.
    try:
        float(text)
    except ValueError:
        return False
    return True


def _value(value: Any) -> Any:
    # NaN is what a DataFrame has where there is nothing.
    return None if isinstance(value, float) and value != value else value


def _columns_of_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {str(name): [_value(row.get(name)) for row in rows] for name in names}


def _columns_of_file(path: pathlib.Path) -> dict[str, list[Any]]:
    ending = path.suffix.lower()
    if ending == ".jsonl":
        return _columns_of_rows(list(_json_rows(path)))
    if ending == ".csv":
        csv.field_size_limit(_LONGEST_LINE)
        with open(path, encoding="utf-8-sig", newline="") as file:
            try:
                rows = list(csv.DictReader(file, restkey="", strict=True))
            except csv.Error as error:
                raise ValueError(f"{path} is no CSV that can be read: {error}") from error
        if any("" in row for row in rows):
            raise ValueError(f"{path} has a row of more values than its first line names columns.")
        return {name: [value or None for value in values] for name, values in _columns_of_rows(rows).items()}
    if ending == ".parquet":
        try:
            import pandas
        except ImportError as error:
            raise ImportError("Reading Parquet needs pandas and pyarrow: pip install pandas pyarrow.") from error
        return read_table(pandas.read_parquet(path)).columns
    raise ValueError(f"A file of rows ends in .jsonl, .csv or .parquet. Received: {str(path)!r}.")


def _json_rows(path: pathlib.Path) -> Iterable[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), ""), start=1):
            if len(line) > _LONGEST_LINE:
                raise ValueError(f"{path}, line {number}: longer than {_LONGEST_LINE:,} characters.")
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}, line {number}: no JSON that can be read: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number}: expected an object, {{...}}. Received: {line[:60]!r}.")
            yield row
