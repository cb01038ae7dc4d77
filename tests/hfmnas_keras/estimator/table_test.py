import json
import os

import numpy as np
import pytest

from hfmnas_keras.estimator.labels import dev_rows, read_labels, value_of
from hfmnas_keras.estimator.table import Table, find_columns, read_table

ROWS = [
    {"id": "a", "title": "a red fish", "photo": "p/1.png", "kind": "fish", "price": 3.5},
    {"id": "b", "title": "a blue bird", "photo": "p/2.JPG", "kind": "bird", "price": 4.0},
]


class Frame:
    """What a DataFrame of pandas has of all that is read of it."""

    class Column:
        def __init__(self, values):
            self.values = values

        def tolist(self):
            return self.values

    iloc = None

    def __init__(self, rows):
        self.columns = list(rows[0])
        self._rows = rows

    def __getitem__(self, name):
        return self.Column([row[name] for row in self._rows])


def written(folder, rows, ending):
    path = folder / f"rows.{ending}"
    if ending == "jsonl":
        path.write_text("\n\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    else:
        lines = [",".join(rows[0]), *(",".join(f'"{value}"' for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["list", "columns", "frame", "jsonl", "csv"])
def test_rows_of_any_kind_are_the_same_table(kind, tmp_path):
    data = {
        "list": lambda: ROWS,
        "columns": lambda: {name: [row[name] for row in ROWS] for name in ROWS[0]},
        "frame": lambda: Frame(ROWS),
    }.get(kind, lambda: written(tmp_path, ROWS, kind))()
    table = read_table(data)
    assert table.num_rows == 2 and list(table.columns) == ["id", "title", "photo", "kind", "price"]
    assert table.texts("title") == ["a red fish", "a blue bird"]
    assert find_columns(table, labels=["kind"]) == {"text": "title", "image": "photo"}
    assert table.rows([1]).column("kind") == ["bird"]


def test_what_is_missing_is_none():
    table = read_table([{"title": "a", "note": float("nan")}, {"title": "b"}])
    assert table.column("note") == [None, None] and table.texts("note") == ["", ""]


def test_several_columns_that_could_be_it_are_told():
    table = read_table([dict(row, plot="more words") for row in ROWS])
    with pytest.raises(ValueError, match="several columns could be it: title, kind, plot.*columns="):
        find_columns(table)
    assert find_columns(table, {"text": "plot"})["text"] == "plot"
    assert find_columns(read_table([dict(row, text="words") for row in ROWS]))["text"] == "text"
    with pytest.raises(ValueError, match="no column looks like it"):
        find_columns(read_table([{"title": "a"}]))
    with pytest.raises(ValueError, match="There is no column 'words'"):
        find_columns(table, {"text": "words"})


def test_pictures_are_read_from_paths_bytes_and_arrays(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out.png").write_bytes(b"secret")
    (tmp_path / "in" / "1.png").write_bytes(b"picture")
    values = ["1.png", b"bytes", np.zeros((2, 3, 3), "uint8"), "../out.png", 7]
    open_table = Table({"photo": values}, tmp_path / "in")
    assert [open_table.picture("photo", row) for row in (0, 1, 3)] == [b"picture", b"bytes", b"secret"]
    assert open_table.picture("photo", 2).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="Row 4: a picture.*Received: int"):
        open_table.picture("photo", 4)
    # A pipe would be waited for.
    os.mkfifo(tmp_path / "in" / "pipe.png")
    for name in ("pipe.png", "missing.png"):
        with pytest.raises(FileNotFoundError, match=f"Row 0: .*{name}.* is no file"):
            Table({"photo": [name]}, tmp_path / "in").picture("photo", 0)
    # Of a file that others may have written, paths stay in its folder.
    with pytest.raises(ValueError, match="leads out of the folder"):
        Table({"photo": values}, tmp_path / "in", within=True).picture("photo", 3)
    path = written(tmp_path / "in", [{"photo": "../out.png"}], "jsonl")
    with pytest.raises(ValueError, match="leads out of the folder"):
        read_table(path).picture("photo", 0)


@pytest.mark.parametrize(
    "content, message",
    [('{"a": 1}\n{"a": ', "line 2: no JSON"), ("[1]", "line 1: expected an object"), ("", "columns of one length")],
)
def test_damaged_files_are_told(content, message, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_table(path)


@pytest.mark.parametrize("data", [3, "rows.xlsx", [], [1, 2]])
def test_what_is_no_table_is_told(data):
    with pytest.raises(ValueError, match="DataFrame|ends in"):
        read_table(data)


def labels_of(values, label="kind"):
    return read_labels(read_table({"kind": values}), label)


@pytest.mark.parametrize(
    "values, rows, kind, multi_label",
    [
        (["b", "a", "b"], [("b",), ("a",), ("b",)], "str", False),
        ([10, 9, 10], [("10",), ("9",), ("10",)], "int", False),
        ([1.0, 0.0, 1.0], [("1",), ("0",), ("1",)], "int", False),
        ([True, False, True], [("True",), ("False",), ("True",)], "bool", False),
        ([["b", "a"], [], ["a"]], [("b", "a"), (), ("a",)], "str", True),
    ],
)
def test_labels_of_any_kind(values, rows, kind, multi_label):
    labels = labels_of(values)
    assert (labels.rows, labels.kind, labels.multi_label, labels.columns) == (rows, kind, multi_label, ("kind",))
    assert [tuple(value_of(name, kind) for name in row) for row in labels.rows] == [
        tuple(value) if isinstance(value, list) else (value,) for value in values
    ]


def test_whole_numbers_are_in_the_order_of_numbers():
    assert labels_of([10, 9, 2]).classes == ("2", "9", "10")


def test_columns_of_marks_are_single_labels_where_each_row_has_one():
    table = read_table({"cat": [1, 0, 0], "dog": [0, 1, 1], "tame": [1, 1, 0]})
    one = read_labels(table, ["cat", "dog"])
    assert (one.rows, one.multi_label) == ([("cat",), ("dog",), ("dog",)], False)
    several = read_labels(table, ["cat", "dog", "tame"])
    assert (several.rows, several.multi_label) == ([("cat", "tame"), ("dog", "tame"), ("dog",)], True)
    array = read_labels(table, np.array([[0, 1], [1, 0], [1, 0]]))
    assert (array.rows, array.multi_label, array.kind) == ([("1",), ("0",), ("0",)], False, "int")


def test_the_manifest_s_own_columns_are_found_and_split(tmp_path):
    path = written(tmp_path, [{"labels": "cat|dog"}, {"labels": ""}], "csv")
    assert read_labels(read_table(path)).rows == [("cat", "dog"), ()]


@pytest.mark.parametrize(
    "values, message",
    [
        (["a", None], "1 rows have no label, the first is row 1"),
        (["a", ["b"]], "all be single ones or all lists"),
        ([0.5, 1], "Received in row 0: 0.5"),
        (["a", ""], "Received in row 1: ''"),
    ],
)
def test_labels_that_are_none_are_told(values, message):
    with pytest.raises(ValueError, match=message):
        labels_of(values)


def test_a_missing_column_and_a_wrong_number_are_told():
    table = read_table({"title": ["a", "b"]})
    with pytest.raises(ValueError, match="Which column has the labels.*title"):
        read_labels(table)
    with pytest.raises(ValueError, match="3 labels and 2 rows"):
        read_labels(table, ["x", "y", "x"])
    with pytest.raises(ValueError, match="must hold 0 and 1. Received: 0, 2"):
        read_labels(table, np.array([[0, 2], [2, 0]]))


def test_the_rows_to_choose_on_are_a_share_of_each_class_and_keep_equal_texts_together():
    texts = [f"text {row // 2}" for row in range(200)]
    labels = labels_of(["often" if row < 160 else "seldom" for row in range(200)])
    held_out = dev_rows(texts, labels, 0.2, seed=0)
    assert (held_out[::2] == held_out[1::2]).all()
    assert held_out[:160].sum() == 32 and held_out[160:].sum() == 8
    assert (held_out != dev_rows(texts, labels, 0.2, seed=1)).any()
    assert (held_out == dev_rows(texts, labels, 0.2, seed=0)).all()
