"""Labels of any kind as names of classes."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from hfmnas_keras.estimator.table import Table


@dataclasses.dataclass(frozen=True)
class Labels:
    """The labels of a table's rows.

    Args:
        rows: list of tuples of str, the names of each row's classes.
        multi_label: bool. Whether a row may have several, or none.
        kind: str. What a label is to the caller: `"str"`, `"int"` or `"bool"`.
        columns: names of the columns that they were read from.
    """

    rows: list[tuple[str, ...]]
    multi_label: bool
    kind: str
    columns: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes, in order."""
        names = {name for row in self.rows for name in row}
        return tuple(sorted(names, key=int)) if self.kind == "int" else tuple(sorted(names))


def read_labels(table: Table, label: Any = None) -> Labels:
    """Reads labels.

    A row's label is a string, a whole number or a bool; several are a list of them (in a column `labels` of a file also
    `cat|dog`). Columns or arrays of 0 and 1, one a class, are single labels where each row has exactly one 1, else
    several.

    Args:
        table: `Table`.
        label: name of the column; list of the names of columns of 0 and 1; or the labels themselves, an array or list.
            `None` (default): the column `label` or `labels`.

    Raises:
        ValueError: when a label is missing, or is none of these.
    """
    columns: tuple[str, ...] = ()
    if label is None:
        present = [name for name in ("label", "labels") if name in table.columns]
        if len(present) != 1:
            raise ValueError(f"Which column has the labels? Name it: label=... Columns: {', '.join(table.columns)}.")
        label = present[0]
    if isinstance(label, str):
        columns, values = (label,), table.column(label)
    elif isinstance(label, (list, tuple)) and label and all(_is_column(name, table) for name in label):
        marks = np.array([table.column(name) for name in label]).T
        return _of_marks(marks, list(label), "str", tuple(label))
    elif getattr(label, "ndim", 1) == 2:
        marks = np.asarray(label)
        _check_number(len(marks), table)
        return _of_marks(marks, [str(number) for number in range(marks.shape[1])], "int", ())
    else:
        values = label.tolist() if hasattr(label, "tolist") else list(label)
    _check_number(len(values), table)
    if columns == ("labels",) and all(isinstance(value, str) for value in values if value is not None):
        values = [[] if value is None else [name for name in value.split("|") if name] for value in values]
    several = [isinstance(value, (list, tuple, set, frozenset, np.ndarray)) for value in values]
    if any(several) and not all(several):
        row = several.index(not several[0])
        raise ValueError(
            f"Labels must all be single ones or all lists. Received: {values[0]!r} in row 0, {values[row]!r} in row "
            f"{row}. Write [] where a row has none."
        )
    if not any(several):
        if missing := [row for row, value in enumerate(values) if value is None]:
            raise ValueError(f"{len(missing)} rows have no label, the first is row {missing[0]}. Leave them out.")
        values = [[value] for value in values]
    kinds = {_kind(value, row) for row, names in enumerate(values) for value in names}
    rows = [tuple(_name(value) for value in names) for names in values]
    return Labels(rows, any(several), kinds.pop() if len(kinds) == 1 else "str", columns)


def value_of(name: str, kind: str) -> Any:
    """A class as the caller named it."""
    if kind == "bool":
        return name == "True"
    return int(name) if kind == "int" else name


def dev_rows(texts: Sequence[str], labels: Labels, share: float, seed: int) -> np.ndarray:
    """Which rows to hold out: a share of each class, rows of the same text together.

    Args:
        texts: the texts of the rows.
        labels: `Labels`.
        share: float between 0 and 1.
        seed: int.

    Returns:
        Boolean array `(rows,)`.
    """
    groups: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        groups.setdefault(text.strip().lower() or f"row {row}", []).append(row)
    by_class: dict[tuple[str, ...], list[list[int]]] = {}
    for rows in groups.values():
        by_class.setdefault(labels.rows[rows[0]][:1], []).append(rows)
    generator = np.random.default_rng(seed)
    held_out = np.zeros(len(texts), bool)
    for of_class in by_class.values():
        count = min(len(of_class) - 1, max(1, round(share * len(of_class))))
        for number in generator.permutation(len(of_class))[:count]:
            held_out[of_class[number]] = True
    return held_out


def _of_marks(marks: np.ndarray, names: list[str], kind: str, columns: tuple[str, ...]) -> Labels:
    if marks.dtype == object or not np.isin(marks, (0, 1)).all():
        seen = sorted(set(map(str, marks.ravel().tolist())))[:5]
        raise ValueError(f"Columns of labels, one a class, must hold 0 and 1. Received: {', '.join(seen)}.")
    rows = [tuple(names[number] for number in np.flatnonzero(row)) for row in marks]
    return Labels(rows, any(len(row) != 1 for row in rows), kind, columns)


def _is_column(name: Any, table: Table) -> bool:
    return isinstance(name, str) and name in table.columns


def _check_number(labels: int, table: Table) -> None:
    if labels != table.num_rows:
        raise ValueError(f"Every row needs a label. Received: {labels} labels and {table.num_rows} rows.")


def _kind(value: Any, row: int) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, numbers.Real) and float(value).is_integer():
        return "int"
    if isinstance(value, str) and value:
        return "str"
    raise ValueError(
        f"A label must be a string, a whole number or a bool, or a list of them. Received in row {row}: {value!r}."
    )


def _name(value: Any) -> str:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    return str(int(value)) if is_number else str(value)
