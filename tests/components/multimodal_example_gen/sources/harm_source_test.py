import json
import os
import shutil

import pytest

from components.multimodal_example_gen.row import SkipRowError
from components.multimodal_example_gen.sources.harm_source import LEVELS, TWO_CLASSES, HarmSource
from components.multimodal_example_gen.sources.registry import make_source
from tests.components.multimodal_example_gen import manifest_folder
from tests.layouts import harm_folder


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Both sets in one folder, as their names allow."""
    folder = tmp_path_factory.mktemp("harm")
    for subset in ("C", "P"):
        harm_folder.write_folder(folder, subset)
    return folder


@pytest.fixture
def folder(good, tmp_path):
    """A copy to break."""
    return shutil.copytree(good, tmp_path / "harm")


def change(folder, split="train", index=0, subset="C", **values):
    """Writes other values into a line; `...` takes a key away. Returns the line's id."""
    records = harm_folder.read_lines(folder, subset, split)
    before = records[index]["id"]
    records[index] = {key: value for key, value in (records[index] | values).items() if value is not ...}
    harm_folder.write_lines(folder, subset, split, records)
    return before


def read(folder, subset="C", **settings):
    return HarmSource(subset, str(folder), **settings).read()


@pytest.mark.parametrize("subset", ["C", "P"])
@pytest.mark.parametrize("classes", [LEVELS, TWO_CLASSES])
def test_records_are_those_of_an_independent_reader(good, subset, classes):
    files = {"C": ("train", "val", "test"), "P": ("train_v1", "val_v1", "test_v1")}[subset]
    expected = {}
    for split, name in zip(("train", "dev", "test"), files, strict=True):
        path = good / "HarMeme_V1" / "Annotations" / f"Harm-{subset}" / f"{name}.jsonl"
        for line in path.read_text().splitlines():
            record = json.loads(line)
            # As MOMENTA numbers them: 0 not, 1 somewhat, 2 everything else; with two classes 1 is all that is not 0.
            level = {"not harmful": 0, "somewhat harmful": 1}.get(record["labels"][0], 2)
            number = level if len(classes) == 3 else min(level, 1)
            expected[record["id"]] = (split, record["text"].strip(), number, f"images/{record['image']}")
    listing = read(good, subset, classes=classes)
    found = {row.id: (row.split, row.text, classes.index(row.labels[0]), row.media["image"]) for row in listing.rows}
    assert found == expected and len(listing.rows) == 60
    assert listing.classes == classes and listing.skipped == []
    assert {len(row.labels) for row in listing.rows} == {1}


def test_the_names_of_the_first_release(folder):
    annotations = harm_folder.annotations_folder(folder, "P")
    expected = read(folder, "P").rows
    for path in sorted(annotations.iterdir()):
        path.rename(annotations / path.name.replace("_v1", ""))
    found = read(folder, "P").rows
    assert [(row.id, row.split, row.text) for row in found] == [(row.id, row.split, row.text) for row in expected]


def test_the_second_release_is_taken_where_both_are(folder):
    records = harm_folder.read_lines(folder, "P", "train")
    harm_folder.write_lines(folder, "P", "train", records[:3], name="train")
    assert len([row for row in read(folder, "P").rows if row.split == "train"]) == len(records)


def test_other_folders(folder):
    annotations = harm_folder.annotations_folder(folder, "C")
    annotations.rename(folder / "annotations")
    (folder / "images").rename(folder / "pictures")
    assert len(read(folder, annotations="annotations", images="pictures").rows) == 60


class TestEmptyLabel:
    def test_is_very_harmful_as_in_the_authors_code(self, folder):
        changed = change(folder, labels=[""])
        listing = read(folder)
        assert {row.id: row.labels for row in listing.rows}[changed] == ("very harmful",)
        assert listing.observed["empty label read as 'very harmful'"] == 1

    def test_is_harmful_in_two_classes(self, folder):
        changed = change(folder, labels=[""])
        assert {row.id: row.labels for row in read(folder, classes=TWO_CLASSES).rows}[changed] == ("harmful",)

    def test_can_be_left_out(self, folder):
        changed = change(folder, labels=[""])
        listing = read(folder, empty_label="skip")
        assert [(skip.reason, skip.id) for skip in listing.skipped] == [("empty_label", changed)]
        assert changed not in {row.id for row in listing.rows}


def test_any_number_of_targets(folder):
    change(folder, index=0, labels=["somewhat harmful"])
    change(folder, index=1, labels=["very harmful", "individual", "organization", "society"])
    change(folder, index=2, labels=["not harmful", "community"])
    change(folder, index=3, labels=["very harmful", "everybody"])
    listing = read(folder)
    assert [row.labels[0] for row in listing.rows[:4]] == [
        "somewhat harmful",
        "very harmful",
        "not harmful",
        "very harmful",
    ]
    assert listing.observed == {
        "harmful, without a target": 1,
        "several targets": 1,
        "not harmful, with a target": 1,
        "unknown target": 1,
    }


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"id": ...}, "missing_id"),
        ({"id": ""}, "missing_id"),
        ({"id": 7}, "wrong_type"),
        ({"id": "../x"}, "wrong_id"),
        ({"id": "a" * 200}, "wrong_id"),
        ({"text": ...}, "empty_text"),
        ({"text": " \n"}, "empty_text"),
        ({"text": ["a"]}, "wrong_type"),
        ({"text": "\ud800"}, "not_utf8"),
        ({"labels": ...}, "wrong_type"),
        ({"labels": "not harmful"}, "wrong_type"),
        ({"labels": [0]}, "wrong_type"),
        ({"labels": ["not harmful", None]}, "wrong_type"),
        ({"labels": []}, "no_label"),
        ({"labels": ["partially harmful"]}, "unknown_label"),
        ({"labels": ["Not harmful"]}, "unknown_label"),
        ({"image": ...}, "missing_image"),
        ({"image": "none.png"}, "missing_image"),
        ({"image": "x" * 5000}, "missing_image"),
        ({"image": 1}, "wrong_type"),
        ({"image": "../images/covid_memes_1.png"}, "path_outside_root"),
        ({"image": "/etc/passwd"}, "path_outside_root"),
        ({"image": "..\\x.png"}, "path_outside_root"),
        ({"image": "https://example.org/x.png"}, "path_outside_root"),
        ({"image": "a\0.png"}, "wrong_type"),
    ],
)
def test_a_row_that_cannot_be_used(folder, values, reason):
    change(folder, **values)
    (skip,) = read(folder).skipped
    assert skip.reason == reason and skip.place == "train.jsonl, line 1"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("no JSON", "broken_row"),
        ("[1]", "broken_row"),
        ("[" * 100_000, "broken_row"),
        ('{"id": ' + "9" * 5000 + "}", "broken_row"),
        (b"\xff", "not_utf8"),
    ],
)
def test_a_line_that_cannot_be_read(folder, line, reason):
    harm_folder.write_lines(folder, "C", "dev", [line, *harm_folder.read_lines(folder, "C", "dev")])
    assert [(skip.reason, skip.id) for skip in read(folder).skipped] == [(reason, "val.jsonl, line 1")]


def test_an_id_in_two_splits_is_taken_once(folder):
    harm_folder.write_lines(folder, "C", "test", harm_folder.read_lines(folder, "C", "train")[:2])
    listing = read(folder)
    assert [skip.reason for skip in listing.skipped] == ["duplicate_id"] * 2
    assert len({row.id for row in listing.rows}) == len(listing.rows)


def test_another_picture_than_the_id_says_is_counted(folder):
    change(folder, index=0, image="covid_memes_1.png")
    listing = read(folder)
    assert listing.observed == {"id is not the picture's name": 1}
    assert listing.rows[0].media["image"] == "images/covid_memes_1.png"


def test_unknown_columns_are_counted_without_their_names(folder):
    change(folder, index=0, note="words of the data")
    assert read(folder).ignored_columns == {"(unknown)": 1}


class TestRepeatedTexts:
    def repeat(self, folder):
        train = harm_folder.read_lines(folder, "C", "train")
        change(folder, "dev", 0, text=train[0]["text"])
        change(folder, "test", 0, text=train[1]["text"].upper().replace("\n", "  "))
        change(folder, "test", 1, text=train[1]["text"])
        change(folder, "train", 3, text=train[2]["text"])
        change(folder, "train", 4, text=train[2]["text"])
        return train

    def test_are_counted(self, folder):
        self.repeat(folder)
        listing = read(folder)
        assert listing.observed == {
            "text in train more than once": 2,
            "text of a dev row also in train": 1,
            "text of a test row also in train": 2,
        }
        assert len(listing.rows) == 60

    def test_can_be_left_out_of_train(self, folder):
        train = self.repeat(folder)
        listing = read(folder, drop_repeated=True)
        assert [(skip.reason, skip.id) for skip in listing.skipped] == [
            ("text_in_other_split", train[0]["id"]),
            ("text_in_other_split", train[1]["id"]),
        ]
        assert {row.split for row in listing.rows} == {"train", "dev", "test"} and len(listing.rows) == 58


def test_a_link_out_of_the_folder_is_not_followed(folder, tmp_path):
    source = HarmSource("C", str(folder))
    row = source.read().rows[0]
    inner = folder / row.media["image"]
    inner.rename(tmp_path / "outer.png")
    inner.symlink_to(tmp_path / "outer.png")
    assert [(skip.reason, skip.id) for skip in source.read().skipped] == [("path_outside_root", row.id)]
    with pytest.raises(SkipRowError) as error:
        source.image(row)
    assert error.value.reason == "path_outside_root"
    assert not [path for _, path in source.files() if "outer" in path]


def test_no_annotations_is_an_error_that_helps(folder):
    os.unlink(harm_folder.annotations_folder(folder, "P") / "val_v1.jsonl")
    with pytest.raises(FileNotFoundError, match="val_v1.jsonl.*HarMeme_V1"):
        read(folder, "P")


@pytest.mark.parametrize("annotations", ["../elsewhere", "/etc"])
def test_annotations_outside_the_folder_are_refused(folder, annotations):
    with pytest.raises(ValueError, match="without '..'"):
        read(folder, annotations=annotations)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subset": "X"}, "'C', 'P'"),
        ({"classes": ["harmful", "not harmful"]}, "in this order"),
        ({"empty_label": "not harmful"}, "very harmful"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        make_source("harm", {"subset": "C", "data_root": "x", **settings})


@pytest.mark.parametrize("changed", ["annotations", "picture", "picture of a row that is left out"])
def test_one_changed_file_is_another_fingerprint(folder, changed):
    if changed.endswith("left out"):
        change(folder, labels=["?"])
    source = HarmSource("C", str(folder))
    before = source.fingerprint()
    assert before == HarmSource("C", str(folder)).fingerprint()
    path = folder / "images" / harm_folder.read_lines(folder, "C", "train")[0]["image"]
    if changed == "annotations":
        path = harm_folder.annotations_folder(folder, "C") / "test.jsonl"
    path.write_bytes(path.read_bytes() + b"\n")
    assert source.fingerprint() != before


@pytest.fixture(scope="module")
def ingested(good, tmp_path_factory):
    """Two runs over HARM-P, one picture cut short and one text that must not be repeated."""
    folder = shutil.copytree(good, tmp_path_factory.mktemp("cut") / "harm")
    change(folder, subset="P", index=2, text="unspeakable")
    change(folder, subset="P", index=3, text="unspeakable", labels=["unspeakable"])
    change(folder, subset="P", index=4, id="unspeakable words", text="unspeakable", note="unspeakable")
    picture = folder / "images" / harm_folder.read_lines(folder, "P", "train")[2]["image"]
    picture.write_bytes(picture.read_bytes()[:-30])
    source = HarmSource("P", str(folder))
    return [manifest_folder.run_ingest(source, tmp_path_factory.mktemp("examples")) for _ in range(2)]


def test_two_runs_write_the_same(ingested):
    assert ingested[0] == ingested[1]


def test_report(ingested):
    report, by_split = ingested[0]
    assert report["rows"] == {"train": 39, "dev": 6, "test": 12} == {name: len(rows) for name, rows in by_split.items()}
    assert report["published_rows"] == {"train": 3020, "dev": 177, "test": 355}
    assert {reason: entry["count"] for reason, entry in report["skipped"].items()} == {
        "unreadable_image": 1,
        "unknown_label": 1,
        "wrong_id": 1,
    }
    assert any("calls obsolete" in warning or "call obsolete" in warning for warning in report["warnings"])


def test_no_text_of_the_data_is_in_the_report(ingested):
    assert "unspeakable" not in json.dumps(ingested[0][0])
