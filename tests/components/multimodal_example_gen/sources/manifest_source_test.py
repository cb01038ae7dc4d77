import collections
import gzip
import itertools
import json
import os
import re
import unicodedata

import pytest
import tensorflow as tf

from components.multimodal_example_gen.row import SkipRowError
from components.multimodal_example_gen.sources.manifest_source import ManifestSource, describe_manifest
from components.multimodal_example_gen.sources.registry import make_source
from hfmnas_keras.data.stored_files import copy_folder
from tests.components.multimodal_example_gen import manifest_folder

GOOD = {"id": "a", "split": "train", "text": "some words", "image": "a.png", "label": "cat"}


@pytest.fixture(autouse=True)
def pictures(tmp_path):
    touch_pictures(tmp_path)


def touch_pictures(folder):
    """Files that are there; what is in them nobody looks at here."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in "abcdef":
        (folder / f"{name}.png").touch()


def read(folder, records, **settings):
    touch_pictures(folder)
    path = manifest_folder.write_jsonl(folder, records)
    return ManifestSource(path, **{"strict": False, **settings}).read()


def skipped(folder, record, **settings):
    """The reason why one row beside a good one is left out."""
    listing = read(folder, [dict(GOOD, id="good"), record], **settings)
    assert [row.id for row in listing.rows] == ["good"]
    (skip,) = listing.skipped
    assert skip.place == "line 2" and skip.place in skip.message() and skip.detail
    return skip.reason


def test_a_row(tmp_path):
    (row,) = read(tmp_path, [GOOD]).rows
    assert (row.id, row.split, row.text, row.labels, row.place) == ("a", "train", "some words", ("cat",), "line 1")
    assert row.media == {"image": "a.png"}


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"id": None}, "missing_id"),
        ({"id": "  "}, "missing_id"),
        ({"id": ["a"]}, "wrong_type"),
        ({"id": True}, "wrong_type"),
        ({"id": 1.5}, "wrong_type"),
        ({"id": "good"}, "duplicate_id"),
        ({"text": "", "image": ""}, "missing_image"),
        ({"text": " \t\n", "image": None}, "missing_image"),
        ({"text": 7}, "wrong_type"),
        ({"text": "half a pair \ud83d"}, "not_utf8"),
        ({"text": "zero \0 byte"}, "wrong_type"),
        ({"image": {"path": "a.png"}}, "wrong_type"),
        ({"image": "../a.png"}, "path_outside_root"),
        ({"image": "b/../../a.png"}, "path_outside_root"),
        ({"image": "..\\a.png"}, "path_outside_root"),
        ({"image": "/etc/passwd"}, "path_outside_root"),
        ({"image": "C:\\a.png"}, "path_outside_root"),
        ({"image": "\\\\host\\a.png"}, "path_outside_root"),
        ({"image": "file:///etc/passwd"}, "path_outside_root"),
        ({"image": "https://example.org/a.png"}, "path_outside_root"),
        ({"image": "a\0.png"}, "wrong_type"),
        ({"label": None}, "no_label"),
        ({"label": ""}, "no_label"),
        ({"label": 3.5}, "wrong_type"),
        ({"label": ["cat"]}, "wrong_type"),
        ({"labels": ["cat"]}, "label_and_labels"),
        ({"label": None, "labels": []}, "no_label"),
        ({"label": None, "labels": "cat"}, "wrong_type"),
        ({"label": None, "labels": ["cat", 3.5]}, "wrong_type"),
        ({"label": None, "labels": ["cat", "dog"]}, "several_labels"),
        ({"split": "training"}, "unknown_split"),
        ({"split": None}, "unknown_split"),
        ({"split": 1}, "wrong_type"),
    ],
)
def test_a_row_that_cannot_be_used(tmp_path, change, expected):
    assert skipped(tmp_path, {**GOOD, "id": "bad", **change}) == expected


@pytest.mark.parametrize("write", [manifest_folder.write_csv, manifest_folder.write_jsonl])
def test_rows_without_text_or_picture_are_kept_where_others_have_them(tmp_path, write):
    nothing = "" if write is manifest_folder.write_csv else None
    records = [GOOD, dict(GOOD, id="no text", text=nothing), dict(GOOD, id="no picture", image=nothing)]
    manifest_folder.save_pictures(tmp_path, [GOOD])
    source = ManifestSource(write(tmp_path, records))
    listing = source.read()
    assert not listing.skipped and listing.observed == {"without a text": 1, "without a picture": 1}
    assert [row.text for row in listing.rows] == ["some words", "", "some words"]
    features = [source.features(row) for row in listing.rows]
    assert features[1]["text"] == features[2]["image"] == b"" and features[1]["image"] == features[0]["image"]
    assert source.fingerprint() and len(list(source.unlabelled_rows())) == 3
    with pytest.raises(ValueError, match="line [34].*`text` and `image` are empty"):
        list(ManifestSource(write(tmp_path, [*records[:2], dict(records[1], image="")])).unlabelled_rows())


@pytest.mark.parametrize(
    "line, expected",
    [
        ('{"id": "a", "text"', "broken_row"),
        ("[1, 2]", "broken_row"),
        ('"text"', "broken_row"),
        ("[" * 100_000, "broken_row"),
        (b'{"id": "a\xff"}', "not_utf8"),
    ],
)
def test_a_line_that_cannot_be_read(tmp_path, line, expected):
    assert skipped(tmp_path, line) == expected


def test_unknown_label(tmp_path):
    assert skipped(tmp_path, dict(GOOD, id="b", label="cow"), classes=["cat", "dog"]) == "unknown_label"
    record = {**GOOD, "id": "b", "label": None, "labels": ["cat", "cow"]}
    assert skipped(tmp_path, record, classes=["cat", "dog"], multi_label=True) == "unknown_label"


def test_a_link_out_of_the_data_root(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    root = tmp_path / "data"
    root.mkdir()
    os.symlink(tmp_path / "secret.png", root / "link.png")
    os.symlink(tmp_path, root / "folder")
    os.symlink("inner.png", root / "inside.png")
    (root / "inner.png").touch()
    assert skipped(root, dict(GOOD, id="b", image="link.png")) == "path_outside_root"
    assert skipped(root, dict(GOOD, id="b", image="folder/secret.png")) == "path_outside_root"
    (skip,) = read(root, [dict(GOOD, image="folder/nowhere.png")]).skipped
    # The link and not what is behind it, which may not be there.
    assert f"{str(root / 'folder')!r} leads to {str(tmp_path)!r}" in skip.detail
    assert len(read(root, [dict(GOOD, image="inside.png")]).rows) == 1


def test_a_link_made_after_the_manifest_was_read(tmp_path):
    root = tmp_path / "data"
    source = ManifestSource(manifest_folder.write_jsonl(root, [GOOD]))
    touch_pictures(root)
    (row,) = source.read().rows
    (tmp_path / "secret.png").write_bytes(b"secret")
    (root / "a.png").unlink()
    os.symlink(tmp_path / "secret.png", root / "a.png")
    with pytest.raises(SkipRowError) as error:
        source.image(row)
    assert error.value.reason == "path_outside_root"


def test_a_neighbour_folder_with_the_same_beginning(tmp_path):
    (tmp_path / "data-secret").mkdir()
    (tmp_path / "data").mkdir()
    os.symlink(tmp_path / "data-secret", tmp_path / "data" / "link")
    assert skipped(tmp_path / "data", dict(GOOD, id="b", image="link/a.png")) == "path_outside_root"


def test_data_root_beside_the_manifest(tmp_path):
    pictures = tmp_path / "pictures"
    manifest_folder.save_pictures(pictures, [GOOD])
    path = manifest_folder.write_jsonl(tmp_path / "lists", [GOOD])
    source = ManifestSource(path, data_root=str(pictures))
    assert source.image(source.read().rows[0]).startswith(b"\x89PNG")


def test_unknown_columns_are_refused_or_ignored(tmp_path):
    records = [dict(GOOD, weight=3), dict(GOOD, id="b")]
    listing = read(tmp_path, records, strict=True)
    assert [skip.reason for skip in listing.skipped] == ["unknown_column"] and "weight" in listing.skipped[0].detail
    listing = read(tmp_path, records)
    assert len(listing.rows) == 2 and listing.ignored_columns == {"weight": 1}


def test_blank_lines_and_byte_order_mark(tmp_path):
    listing = read(tmp_path, [b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), "", "  ", dict(GOOD, id="b")])
    assert [(row.id, row.place) for row in listing.rows] == [("a", "line 1"), ("b", "line 4")]


def test_a_text_with_a_line_separator_is_one_line(tmp_path):
    record = json.dumps(dict(GOOD, text="one\u2028two\x85three"), ensure_ascii=False)
    (row,) = read(tmp_path, [record]).rows
    assert row.text == "one\u2028two\x85three"


def test_number_ids_become_text_and_clash_with_it(tmp_path):
    listing = read(tmp_path, [dict(GOOD, id=7), dict(GOOD, id="7")])
    assert [row.id for row in listing.rows] == ["7"] and [skip.reason for skip in listing.skipped] == ["duplicate_id"]


def test_several_labels_once_each_in_their_order(tmp_path):
    record = {**GOOD, "label": None, "labels": ["dog", "cat", "dog"]}
    listing = read(tmp_path, [record, dict(GOOD, id="b")], multi_label=True)
    assert [row.labels for row in listing.rows] == [("dog", "cat"), ("cat",)]
    assert listing.classes == ("cat", "dog")


def test_classes_keep_the_given_order(tmp_path):
    assert read(tmp_path, [GOOD], classes=["dog", "cat"]).classes == ("dog", "cat")


def test_other_names_of_the_dev_split(tmp_path):
    names = ["val", "valid", "Validation", "dev"]
    assert {row.split for row in read(tmp_path, [dict(GOOD, id=n, split=n) for n in names]).rows} == {"dev"}


def test_split_by_hash(tmp_path):
    records = [{**GOOD, "id": str(index)} for index in range(3000)]
    for record in records:
        del record["split"]
    first = {row.id: row.split for row in read(tmp_path, records, split_ratios=(0.5, 0.2, 0.3)).rows}
    counts = collections.Counter(first.values())
    for split, share in {"train": 0.5, "dev": 0.2, "test": 0.3}.items():
        assert abs(counts[split] / 3000 - share) < 0.03
    # A row stays where it is when others go.
    half = {row.id: row.split for row in read(tmp_path, records[::2], split_ratios=(0.5, 0.2, 0.3)).rows}
    assert half == {row_id: first[row_id] for row_id in half}
    other = {row.id: row.split for row in read(tmp_path, records, split_ratios=(0.5, 0.2, 0.3), seed=1).rows}
    assert other != first


def test_csv(tmp_path):
    records = [
        dict(GOOD, text='two\nlines, "quoted"'),
        dict(GOOD, id="b", text="עברית ועוד"),
        dict(GOOD, id="c"),
    ]
    path = manifest_folder.write_csv(tmp_path, records, encoding="utf-8-sig")
    listing = ManifestSource(path).read()
    assert [row.text for row in listing.rows] == ['two\nlines, "quoted"', "עברית ועוד", "some words"]
    # The first row takes lines 2 and 3.
    assert [row.place for row in listing.rows] == ["line 2", "line 4", "line 5"]
    assert listing.skipped == []


def test_csv_with_several_labels(tmp_path):
    records = [{**GOOD, "labels": "dog|cat"}, {**GOOD, "id": "b", "labels": "cat"}, {**GOOD, "id": "c", "labels": ""}]
    for record in records:
        del record["label"]
    listing = ManifestSource(manifest_folder.write_csv(tmp_path, records), multi_label=True, strict=False).read()
    assert [row.labels for row in listing.rows] == [("dog", "cat"), ("cat",)]
    assert [skip.reason for skip in listing.skipped] == ["no_label"]


def test_broken_csv_rows(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(
        b"id,text,image,label\n"
        b"a,words,a.png,cat\n"
        b"b,words,b.png\n"
        b"c,words,c.png,cat,more\n"
        b"d,caf\xe9,d.png,cat\n"
        b"\n"
        b"e,words,e.png,cat\n"
        b'f,"not closed,f.png,cat\n'
    )
    listing = ManifestSource(str(path), strict=False).read()
    assert [row.id for row in listing.rows] == ["a", "e"]
    found = [(skip.place, skip.reason) for skip in listing.skipped]
    assert "line 9" not in listing.skipped[-1].detail
    assert found == [
        ("line 3", "broken_row"),
        ("line 4", "broken_row"),
        ("line 5", "not_utf8"),
        ("line 8", "broken_row"),
    ]


@pytest.mark.parametrize("header", ["id,text,image", "id,text,label", "", "id,id,text,image,label"])
def test_a_csv_header_that_lacks_a_column(tmp_path, header):
    (tmp_path / "m.csv").write_text(header + "\n")
    with pytest.raises(ValueError, match="header"):
        ManifestSource(str(tmp_path / "m.csv"), strict=False).read()


@pytest.mark.parametrize("header", [b"id,text,\0image,label", b'id,"text"x,image,label'])
def test_a_csv_header_that_is_none(tmp_path, header):
    (tmp_path / "m.csv").write_bytes(header + b"\n")
    source = ManifestSource(str(tmp_path / "m.csv"), strict=False)
    for look in (source.read, source.fingerprint):
        with pytest.raises(ValueError, match="header"):
            look()


def test_unknown_csv_columns(tmp_path):
    path = manifest_folder.write_csv(tmp_path, [dict(GOOD, weight="3")])
    assert [skip.reason for skip in ManifestSource(path).read().skipped] == ["unknown_column"]
    assert ManifestSource(path, strict=False).read().ignored_columns == {"weight": 1}


@pytest.mark.parametrize("quoted_after", [False, True])
@pytest.mark.parametrize("place", [2, 14, 44])
def test_an_open_quotation_mark_costs_its_own_row_alone(tmp_path, place, quoted_after):
    lines = [f"row-{number},some words,a.png,cat" for number in range(2, 45)]
    lines[place - 2] = f'row-{place},"some words,a.png,cat'
    if quoted_after:
        lines.append('row-45,"words, quoted",a.png,cat')
    (tmp_path / "m.csv").write_text("\n".join(["id,text,image,label", *lines]) + "\n")
    listing = ManifestSource(str(tmp_path / "m.csv"), strict=False).read()
    expected = [f"row-{number}" for number in range(2, len(lines) + 2) if number != place]
    assert [row.id for row in listing.rows] == expected
    (skip,) = listing.skipped
    assert (skip.place, skip.reason) == (f"line {place}", "broken_row")
    assert f"read on to line {len(lines) + 1}" in skip.detail or place == len(lines) + 1


@pytest.mark.parametrize("order", list(itertools.permutations(["id", "text", "image", "label"])))
@pytest.mark.parametrize("between", [0, 1, 5])
def test_two_stray_quotation_marks_merge_no_rows(tmp_path, order, between):
    """Between them all is right as CSV: one row, whose text is several rows."""
    values = [{**GOOD, "id": f"r{number}", "text": f"text {number}, and so on"} for number in range(between + 4)]
    lines = [[f'"{row[name]}"' if name == "text" else row[name] for name in order] for row in values]
    at = order.index("text")
    lines[1][at] = '"the first'
    lines[between + 2][at] = 'the last"'
    # In between as people write without quotation marks.
    for line in lines[2 : between + 2]:
        line[at] = "no comma here"
    text = "\r\n".join(",".join(line) for line in [order, *lines])
    path = tmp_path / "rows.csv"
    path.write_text(text + "\r\n", encoding="utf-8")
    listing = ManifestSource(str(path)).read()
    assert [row.id for row in listing.rows] == [f"r{number}" for number in range(between + 4) if number != 1]
    (skip,) = listing.skipped
    assert skip.reason == "broken_row" and f"reads on to line {between + 4}" in skip.message()


@pytest.mark.parametrize("order", list(itertools.permutations(["id", "text", "image", "label"])))
def test_line_breaks_that_are_meant_stay_and_are_told(tmp_path, order):
    row = {**GOOD, "text": '"Well, yes, no,\nand, with a comma,\nfine, thanks, a lot"'}
    path = tmp_path / "rows.csv"
    path.write_text(",".join(order) + "\n" + ",".join(row[name] for name in order) + "\n", encoding="utf-8")
    listing = ManifestSource(str(path)).read()
    assert [row.text.count("\n") for row in listing.rows] == [2] and not listing.skipped
    assert "1 rows have line breaks in the text" in listing.warnings[0]


@pytest.mark.parametrize("line_breaks", [False, True])
def test_a_long_text_in_csv(tmp_path, line_breaks):
    text = ("some words\n" if line_breaks else "some words ") * 20_000
    path = manifest_folder.write_csv(tmp_path, [dict(GOOD, text=text), dict(GOOD, id="b")])
    listing = ManifestSource(path).read()
    assert [len(row.text) for row in listing.rows] == [len(text.strip()), len(GOOD["text"])] and not listing.skipped
    assert [warning for warning in listing.warnings if "line breaks" in warning] == listing.warnings
    assert bool(listing.warnings) == line_breaks


def test_an_unknown_column_is_told_once_and_with_its_cure(tmp_path):
    records = [{"": str(number), **GOOD, "id": f"row-{number}"} for number in range(12)]
    for path in (manifest_folder.write_csv(tmp_path, records), manifest_folder.write_jsonl(tmp_path, records)):
        (skip,) = ManifestSource(path).read().skipped
        assert skip.reason == "unknown_column" and "'' of 12 rows" in skip.detail and "the rows are kept" in skip.detail
        listing = ManifestSource(path, strict=False).read()
        assert len(listing.rows) == 12 and listing.ignored_columns == {"": 12}
        assert describe_manifest(path)["ignored_columns"] == {"": 12}


@pytest.mark.parametrize(
    ("column", "other", "reason"),
    [("image", "img", "missing_image"), ("text", "caption", "empty_text"), ("label", "labl", "no_label")],
)
def test_a_column_of_another_name_is_asked_for(tmp_path, column, other, reason):
    record = {(other if name == column else name): value for name, value in GOOD.items()}
    listing = read(tmp_path, [record])
    assert [skip.reason for skip in listing.skipped] == [reason]
    assert f"did you mean the column {other!r}? Set `columns: {{{column}: {other}}}`" in listing.skipped[0].detail
    path = manifest_folder.write_csv(tmp_path, [record])
    with pytest.raises(ValueError, match=f"did you mean the column '{other}'"):
        ManifestSource(path, strict=False).read()


@pytest.mark.parametrize("column", ["id", "split", "text", "image", "label"])
def test_any_column_may_have_another_name(tmp_path, column):
    record = {("Their Name" if name == column else name): value for name, value in GOOD.items()}
    for path in (manifest_folder.write_csv(tmp_path, [record]), manifest_folder.write_jsonl(tmp_path, [record])):
        source = ManifestSource(path, columns={column: "Their Name"})
        listing = source.read()
        assert not listing.skipped and not listing.ignored_columns
        (row,) = listing.rows
        assert (row.id, row.split, row.text, row.labels) == ("a", "train", "some words", ("cat",))
        assert ("image/a.png", str(tmp_path / "a.png")) in list(source.files())
        assert describe_manifest(path, {column: "Their Name"})["rows"] == 1


def test_a_column_of_our_name_that_is_not_meant_has_no_meaning(tmp_path):
    record = {**GOOD, "text": "not this", "description": "but this"}
    for path in (manifest_folder.write_csv(tmp_path, [record]), manifest_folder.write_jsonl(tmp_path, [record])):
        listing = ManifestSource(path, strict=False, columns={"text": "description"}).read()
        assert [row.text for row in listing.rows] == ["but this"]
        assert listing.ignored_columns == {"text (of the manifest)": 1}


def test_a_named_column_that_is_not_there(tmp_path):
    path = manifest_folder.write_csv(tmp_path, [GOOD])
    with pytest.raises(ValueError, match="`columns` names .'caption'.*Its header: 'id'"):
        ManifestSource(path, columns={"text": "caption"}).read()
    assert read(tmp_path, [GOOD], columns={"text": "caption"}).skipped[0].reason == "empty_text"


def test_pictures_that_are_not_there_are_told_before_any_is_opened(tmp_path, monkeypatch):
    monkeypatch.setattr("components.multimodal_example_gen.readers.picture.read_picture", None)
    assert skipped(tmp_path, dict(GOOD, id="bad", image="nowhere.png")) == "missing_image"


@pytest.mark.parametrize(("on_disk", "in_manifest"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC"), ("NFD", "NFD")])
def test_letters_of_paths_may_be_composed_or_not(tmp_path, on_disk, in_manifest):
    picture = "Bilder/Köln déjà.png"
    manifest_folder.save_pictures(tmp_path, [dict(GOOD, image=unicodedata.normalize(on_disk, picture))])
    record = dict(GOOD, image=unicodedata.normalize(in_manifest, picture))
    source = ManifestSource(manifest_folder.write_jsonl(tmp_path, [record]))
    (row,) = source.read().rows
    assert source.image(row).startswith(b"\x89PNG")
    assert all(os.path.isfile(path) for _, path in source.files())


def test_columns_in_capitals(tmp_path):
    record = {name.upper() if name != "text" else " Text": value for name, value in GOOD.items()}
    for path in (manifest_folder.write_csv(tmp_path, [record]), manifest_folder.write_jsonl(tmp_path, [record])):
        (row,) = ManifestSource(path).read().rows
        assert (row.id, row.text, row.labels) == ("a", "some words", ("cat",))
    # Which of two is meant nobody knows.
    assert len(read(tmp_path, [{**GOOD, "ID": "other"}], strict=True).skipped) == 1


def test_labels_of_json_that_are_no_text(tmp_path):
    records = [dict(GOOD, id=str(number), label=label) for number, label in enumerate((0, 1, True, False, "1"))]
    listing = read(tmp_path, records, strict=True)
    assert [row.labels for row in listing.rows] == [("0",), ("1",), ("true",), ("false",), ("1",)]
    assert read(tmp_path, [{**GOOD, "label": None, "labels": [3, "x"]}], multi_label=True).rows[0].labels == ("3", "x")


@pytest.mark.parametrize("label", ["['cat', 'dog']", "cat,dog", "cat; dog", '"cat"'])
def test_classes_that_look_like_lists_are_warned_of(tmp_path, label):
    listing = read(tmp_path, [dict(GOOD, label=label), dict(GOOD, id="b")], strict=True)
    (warning,) = listing.warnings
    assert repr(label) in warning and "'cat'," not in warning.replace(repr(label), "")
    assert not read(tmp_path, [GOOD]).warnings


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["cat", "Cat", "dog"], "capitals, blanks or composed letters alone.*'Cat', 'cat'"),
        (["caf\u00e9", "cafe\u0301", "dog"], "capitals, blanks or composed letters alone"),
        (["big cat", "big  cat", "dog"], "capitals, blanks or composed letters alone"),
        (["cat", "nan", "dog"], "missing value.*'nan'"),
        (["cat", "None", "dog"], "missing value.*'None'"),
        (["cat", "cat|dog", "dog"], "look like lists.*cat|dog"),
    ],
)
@pytest.mark.parametrize("write", [manifest_folder.write_jsonl, manifest_folder.write_csv])
def test_classes_that_are_probably_not_meant_are_warned_of(tmp_path, labels, told, write):
    rows = [dict(GOOD, id=str(number), label=label) for number, label in enumerate(labels)]
    listing = ManifestSource(write(tmp_path, rows)).read()
    assert len(listing.classes) == 3
    (warning,) = listing.warnings
    assert re.search(told, warning)


@pytest.mark.parametrize("text", ["NaN", "null", "None", "<NA>"])
def test_texts_of_no_value_are_counted(tmp_path, text):
    rows = [dict(GOOD, id=str(number), text=text if number else "words") for number in range(3)]
    (warning,) = ManifestSource(manifest_folder.write_csv(tmp_path, rows)).read().warnings
    assert warning.startswith("2 texts are what programs write") and "in line 3" in warning


@pytest.mark.parametrize("key", ["id", "text", "image", "label", "split", "note"])
def test_a_key_that_is_there_twice_costs_its_row(tmp_path, key):
    """The parser takes the last without a word."""
    line = json.dumps(dict(GOOD, id="b")).removesuffix("}") + f', "{key}": "a.png", "{key}": "a.png"}}'
    listing = read(tmp_path, [GOOD, line.encode()])
    assert [row.id for row in listing.rows] == ["a"]
    (skip,) = listing.skipped
    assert skip.reason == "broken_row" and f"the key '{key}' is there twice" in skip.detail


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("m.csv", b"id;text;image;label\n1;a;a.png;cat\n", "';' separates its columns"),
        ("m.csv", b"id\ttext\timage\tlabel\n1\ta\ta.png\tcat\n", r"'\\t' separates its columns"),
        ("m.csv", b"id|text|image|label\n1|a|a.png|cat\n", r"'\|' separates its columns"),
        ("m.csv", b"PK\3\4" + b"x" * 100, "is a spreadsheet"),
        ("m.csv", gzip.compress(b"id,text,image,label\n"), "compressed by gzip"),
        ("m.csv", "id,text,image,label\n".encode("utf-16-le"), "zero bytes, as UTF-16"),
        ("m.jsonl", json.dumps(GOOD).encode("utf-16-be"), "zero bytes, as UTF-16"),
        ("m.jsonl", b'\n [{"id": "a"},\n{"id": "b"}]', "one JSON list. JSON lines have an object in each line"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, name, data, told):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=told):
        ManifestSource(str(tmp_path / name)).read()


def test_paths_as_windows_writes_them(tmp_path):
    record = dict(GOOD, image="pictures\\a.png")
    manifest_folder.save_pictures(tmp_path, [dict(GOOD, image="pictures/a.png")])
    source = ManifestSource(manifest_folder.write_jsonl(tmp_path, [record]))
    (row,) = source.read().rows
    assert source.image(row).startswith(b"\x89PNG")
    assert ("image/pictures/a.png", str(tmp_path / "pictures" / "a.png")) in list(source.files())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(tmp_path, encoding):
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    path = tmp_path / "m.csv"
    path.write_bytes(mark + "id,text,image,label\na,words,a.png,cat\n".encode(encoding))
    with pytest.raises(ValueError, match="UTF-16.*UTF-8"):
        ManifestSource(str(path)).read()


@pytest.mark.parametrize("column", ["id", "split", "text", "image", "label", "labels", "note\ud83d"])
@pytest.mark.parametrize("half", ["\ud83d", "\udc00"])
def test_half_a_surrogate_pair_costs_its_row(tmp_path, column, half):
    record = {**GOOD, "id": "bad", column: f"a{half}.png"}
    if column == "labels":
        record = {**record, "label": None, "labels": [f"a{half}"]}
    assert skipped(tmp_path, record) == "not_utf8"
    path = manifest_folder.write_jsonl(tmp_path, [dict(GOOD, id="good"), record])
    assert ManifestSource(path, strict=False).fingerprint()


@pytest.mark.parametrize(
    "settings",
    [
        {"manifest": "m.xlsx", "data_root": "ram://bucket"},
        {"manifest": "m.xlsx"},
        {"split_ratios": (0.5, 0.5, 0.0)},
        {"split_ratios": (0.5, 0.2, 0.2)},
        {"split_ratios": (0.5, 0.5)},
        {"classes": ["cat"]},
        {"classes": ["cat", "cat"]},
        {"classes": ["cat", ""]},
        {"columns": {"words": "text"}},
        {"columns": {"text": "x", "image": "x"}},
        {"max_image_pixels": 0},
        {"max_image_bytes": 0},
    ],
)
def test_wrong_settings(settings):
    with pytest.raises(ValueError, match="Received"):
        ManifestSource(**{"manifest": "m.jsonl", **settings})


def test_no_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match="no manifest"):
        ManifestSource(str(tmp_path / "m.jsonl")).read()


class TestFingerprint:
    @pytest.fixture
    def folder(self, tmp_path):
        records = manifest_folder.rows(6)
        manifest_folder.save_pictures(tmp_path, records)
        manifest_folder.write_jsonl(tmp_path, records)
        return tmp_path

    def test_same_data_anywhere_give_the_same_one(self, folder, tmp_path_factory):
        other = tmp_path_factory.mktemp("other") / "copy"
        os.rename(folder, other)
        copied = ManifestSource(str(other / "manifest.jsonl")).fingerprint()
        os.rename(other, folder)
        assert ManifestSource(str(folder / "manifest.jsonl")).fingerprint() == copied

    @pytest.mark.parametrize("by", ["content", "metadata"])
    def test_a_changed_picture_behind_an_unchanged_manifest(self, folder, by):
        source = ManifestSource(str(folder / "manifest.jsonl"))
        before = source.fingerprint(by)
        assert source.fingerprint(by) == before and before.startswith(f"{by}:")
        picture = folder / "images" / "row-3.png"
        data = bytearray(picture.read_bytes())
        data[-1] ^= 1
        picture.write_bytes(bytes(data))
        os.utime(picture, (1, 1))
        assert source.fingerprint(by) != before

    def test_a_touched_picture_is_the_same_picture(self, folder):
        source = ManifestSource(str(folder / "manifest.jsonl"))
        before = source.fingerprint()
        os.utime(folder / "images" / "row-3.png", (1, 1))
        assert source.fingerprint() == before

    def test_a_picture_that_goes_and_a_changed_text(self, folder):
        source = ManifestSource(str(folder / "manifest.jsonl"))
        seen = {source.fingerprint()}
        (folder / "images" / "row-3.png").unlink()
        seen.add(source.fingerprint())
        manifest = folder / "manifest.jsonl"
        manifest.write_text(manifest.read_text().replace("small", "large"))
        seen.add(source.fingerprint())
        assert len(seen) == 3

    @pytest.mark.parametrize("by", ["content", "metadata"])
    def test_a_file_that_may_not_be_read_stops_nothing(self, folder, by, monkeypatch):
        def refused(*_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(f"components.multimodal_example_gen.sources.source._{by}_digest", refused)
        assert ManifestSource(str(folder / "manifest.jsonl")).fingerprint(by).startswith(f"{by}:")

    def test_another_word(self, folder):
        with pytest.raises(ValueError, match="content"):
            ManifestSource(str(folder / "manifest.jsonl")).fingerprint("time")


class TestDescribeManifest:
    def test_single_label(self, tmp_path):
        records = [dict(GOOD, id=str(n), text=" ".join(["word"] * (n + 1)), label="ab"[n % 2]) for n in range(20)]
        records.append(dict(GOOD, id="bad", label=""))
        described = describe_manifest(manifest_folder.write_jsonl(tmp_path, records))
        assert described == {
            "classes": ["a", "b"],
            "multi_label": False,
            "rows": 20,
            "rows_by_class": {"a": 10, "b": 10},
            "has_split": True,
            "rows_by_split": {"train": 20},
            "words": {"median": 11, "95th": 20, "max": 20},
            "skipped": {"no_label": 1},
            "ignored_columns": {},
            "warnings": [],
        }

    def test_multi_label_without_split(self, tmp_path):
        records = [{"id": n, "text": "w", "image": "a.png", "labels": ["a", "b"][: n % 2 + 1]} for n in range(30)]
        described = describe_manifest(manifest_folder.write_jsonl(tmp_path, records))
        assert described["multi_label"] is True and described["has_split"] is False
        assert described["rows_by_class"] == {"a": 30, "b": 15} and sum(described["rows_by_split"].values()) == 30

    def test_nothing_usable(self, tmp_path):
        with pytest.raises(ValueError, match="line 1.*empty_text"):
            describe_manifest(manifest_folder.write_jsonl(tmp_path, [dict(GOOD, text="")]))


def test_a_manifest_in_a_bucket_names_pictures_relative_to_itself(tmp_path):
    records = manifest_folder.rows(6)
    manifest_folder.save_pictures(tmp_path, records)
    local = ManifestSource(manifest_folder.write_jsonl(tmp_path, records))
    bucket = f"ram://{tmp_path.name}/posters"
    copy_folder(str(tmp_path), bucket)
    source = ManifestSource(f"{bucket}/manifest.jsonl")
    assert source.data_root == bucket
    assert source.read() == local.read()
    for row in local.read().rows:
        assert source.image(row) == local.image(row)
    assert source.fingerprint() == local.fingerprint()
    before = source.fingerprint("metadata")
    # To write to a file in memory that is there would write behind its end.
    tf.io.gfile.remove(f"{bucket}/{records[0]['image']}")
    with tf.io.gfile.GFile(f"{bucket}/{records[0]['image']}", "wb") as file:
        file.write(b"no picture")
    assert source.fingerprint("metadata") != before
    with pytest.raises(SkipRowError) as error:
        source.image(source.read().rows[0])
    assert error.value.reason == "unreadable_image"
    tf.io.gfile.remove(f"{bucket}/{records[0]['image']}")
    with pytest.raises(SkipRowError) as error:
        source.image(source.read().rows[0])
    assert error.value.reason == "missing_image"


@pytest.mark.parametrize("image", ["../other/x.png", "/x.png", "a/../../x.png", "ram://elsewhere/x.png"])
def test_no_path_leaves_a_bucket(tmp_path, image):
    path = manifest_folder.write_jsonl(tmp_path, [GOOD, dict(GOOD, id="b", image=image)])
    bucket = f"ram://{tmp_path.name}"
    copy_folder(str(tmp_path), bucket)
    listing = ManifestSource(f"{bucket}/{os.path.basename(path)}", strict=False).read()
    assert [skip.reason for skip in listing.skipped] == ["path_outside_root"]


def test_a_scheme_that_tensorflow_does_not_know_is_refused():
    with pytest.raises(ValueError, match="no scheme 'nope'"):
        ManifestSource("nope://bucket/rows.jsonl")


@pytest.mark.parametrize("source", ["mmimdb", "mmimdb_hdf5", "harm"])
def test_a_source_that_looks_around_in_a_folder_wants_a_mount(source):
    settings = {"harm": {"subset": "C"}}.get(source, {})
    classes = ("not harmful", "somewhat harmful", "very harmful")
    with pytest.raises(ValueError, match="Mount the bucket"):
        make_source(source, {"data_root": "gs://bucket", "classes": list(classes), **settings})
