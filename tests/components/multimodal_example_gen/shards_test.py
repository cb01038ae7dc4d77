"""Parts of the data: what is taken from earlier executions, and what is read again."""

import json
import os
import pathlib
import shutil
import time

import pytest
from tfx.types import standard_artifacts

from components.multimodal_example_gen.executor import Executor
from components.multimodal_example_gen.progress import in_words, progress
from components.multimodal_example_gen.readers import picture
from components.multimodal_example_gen.row import Row
from components.multimodal_example_gen.shards import MAX_SHARDS, ROWS_PER_SHARD, Shard, shards_of, write_note
from components.multimodal_example_gen.sources.source import file_digest
from tests.components.multimodal_example_gen import manifest_folder

NUMBER = 60


def make_rows(number, split="train"):
    return [Row(id=f"row-{index}", split=split, labels=("a",), media={}) for index in range(number)]


class TestShardsOf:
    def test_each_row_is_in_one_part(self):
        rows = make_rows(1000) + make_rows(10, "dev") + make_rows(1, "test")
        shards = shards_of(rows)
        assert sorted(row.id for shard in shards for row in shard.rows) == sorted(row.id for row in rows)
        assert {row.split for shard in shards for row in shard.rows if shard.split == "dev"} == {"dev"}
        train = [shard for shard in shards if shard.split == "train"]
        assert len(train) == train[0].of == 8
        assert all(ROWS_PER_SHARD / 2 < len(shard.rows) < 2 * ROWS_PER_SHARD for shard in train)
        assert [shard.of for shard in shards if shard.split != "train"] == [1, 1]

    def test_rows_stay_where_they_are_when_others_come(self):
        def place_of(rows):
            return {row.id: shard.file for shard in shards_of(rows) for row in shard.rows}

        before, after = place_of(make_rows(600)), place_of(make_rows(1000))
        assert all(after[row] == place for row, place in before.items())

    def test_their_number_is_bounded(self, monkeypatch):
        monkeypatch.setattr("components.multimodal_example_gen.shards.ROWS_PER_SHARD", 1)
        assert {shard.of for shard in shards_of(make_rows(3 * MAX_SHARDS))} == {MAX_SHARDS}

    def test_no_rows(self):
        assert shards_of([]) == []


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Sixty rows in parts of some four."""
    monkeypatch.setattr("components.multimodal_example_gen.shards.ROWS_PER_SHARD", 4)
    rows = manifest_folder.rows(NUMBER)
    manifest_folder.save_pictures(tmp_path, rows)
    manifest_folder.write_jsonl(tmp_path, rows)
    return tmp_path


@pytest.fixture
def read(monkeypatch):
    """Names of the pictures that were read since it was cleared."""
    names, read_picture = [], picture.read_picture

    def recorded(path, *args):
        names.append(os.path.basename(path))
        return read_picture(path, *args)

    monkeypatch.setattr(picture, "read_picture", recorded)
    return names


def run(folder, number, **settings):
    examples = standard_artifacts.Examples()
    examples.uri = str(folder / "examples" / str(number))
    config = {"manifest": str(folder / "manifest.jsonl"), **settings}
    Executor().Do(
        {},
        {"examples": [examples]},
        {"source": "manifest", "source_config": json.dumps(config), "source_fingerprint": ""},
    )
    report = json.loads(pathlib.Path(examples.uri, "ingest.json").read_text())
    return report, manifest_folder.read_examples(examples.uri)


def same_as_anew(folder, found, **settings):
    """Whether a run gave what one gives that has no earlier executions."""
    shutil.rmtree(folder / "examples")
    return run(folder, 1, **settings) == found


def test_a_corrected_label_costs_its_own_part(folder, read):
    run(folder, 1)
    assert len(read) == NUMBER
    read.clear()
    rows = manifest_folder.rows(NUMBER)
    rows[7]["label"] = "dog" if rows[7]["label"] == "cat" else "cat"
    # Another line in front moves all rows to other places.
    manifest_folder.write_jsonl(folder, ["", *rows])
    found = run(folder, 2)
    assert "row-7.png" in read and len(read) <= 2 * 4
    assert same_as_anew(folder, found)


def test_files_are_linked(folder):
    run(folder, 1)
    run(folder, 2)
    first, second = (sorted((folder / "examples" / name).glob("Split-*/*")) for name in "12")
    assert [path.stat().st_ino for path in first] == [path.stat().st_ino for path in second]
    # When the earlier execution is removed, the later one has all.
    shutil.rmtree(folder / "examples" / "1")
    assert len(manifest_folder.read_examples(folder / "examples" / "2")["train"]) == 40


def test_a_changed_picture_is_read_again(folder, read):
    run(folder, 1)
    read.clear()
    manifest_folder.save_pictures(folder, [{"image": "images/row-9.png", "label": "dog"}])
    found = run(folder, 2)
    assert "row-9.png" in read and len(read) <= 2 * 4
    assert same_as_anew(folder, found)


@pytest.mark.parametrize(
    "change",
    [
        {"max_image_pixels": 1000},
        pytest.param({"code": "other"}, id="code"),
    ],
)
def test_other_settings_and_other_code_read_all_again(folder, read, monkeypatch, change):
    run(folder, 1)
    read.clear()
    if change.pop("code", None):
        monkeypatch.setattr("components.multimodal_example_gen.executor.code_fingerprint", lambda *_: "other")
    run(folder, 2, **change)
    assert len(read) == NUMBER


def test_a_killed_execution_is_continued(folder, read):
    found = run(folder, 1)
    # What it leaves: parts that have a note, one whose note is cut, and records without a note.
    artifact = folder / "examples" / "1"
    (artifact / "ingest.json").unlink()
    notes = sorted((artifact / "shards").iterdir())
    notes[0].write_text(notes[0].read_text()[:40])
    notes[1].unlink()
    read.clear()
    assert run(folder, 2) == found
    assert 0 < len(read) <= 4 * 4


@pytest.mark.parametrize("fault", ["cut", "one bit", "gone"])
def test_a_damaged_part_is_written_anew(folder, read, fault):
    found = run(folder, 1)
    run(folder, 2)
    part = next((folder / "examples" / "2" / "Split-train").iterdir())
    content = bytearray(part.read_bytes())
    if fault == "gone":
        part.unlink()
        (folder / "examples" / "1" / "Split-train" / part.name).unlink()
    else:
        content[len(content) // 2] ^= 1
        # In the same file, which both artifacts have.
        with open(part, "r+b") as file:
            file.write(content)
            file.truncate(len(content) // 2 if fault == "cut" else len(content))
    # As the message of a damaged artifact says.
    shutil.rmtree(folder / "examples" / "2")
    read.clear()
    assert run(folder, 3) == found
    assert 0 < len(read) <= 2 * 4


def test_rows_that_are_left_out_are_told_of_again(folder, read):
    (folder / "images" / "row-3.png").write_bytes(b"no picture")
    run(folder, 1, strict=False)
    read.clear()
    manifest_folder.write_jsonl(folder, ["", *manifest_folder.rows(NUMBER)])
    report, _ = run(folder, 2, strict=False)
    assert "row-3.png" in read and len(read) <= 2 * 4
    assert report["skipped"]["unreadable_image"]["messages"][0].startswith("line 5 (id 'row-3')")


@pytest.mark.parametrize("by", ["content", "metadata"])
@pytest.mark.parametrize("path", ["ram://shards/nothing", "/nowhere/nothing"])
def test_a_file_that_is_gone_fails_alike_everywhere(path, by):
    with pytest.raises(OSError):
        file_digest(path, by)


def test_progress(tmp_path, caplog):
    rows = tuple(make_rows(30))
    shards = [Shard("train", 0, 2, rows, "a key"), Shard("train", 1, 2, rows[:10])]
    of_dev = Shard("dev", 0, 1, rows, "taken from an earlier one")
    for shard in (shards[0], of_dev):
        (tmp_path / shard.file).parent.mkdir()
        (tmp_path / shard.file).touch()
    with caplog.at_level("INFO", logger="absl"), progress(str(tmp_path), shards, seconds=0.05):
        write_note(shards[0], {}, str(tmp_path), is_reusable=True)
        write_note(of_dev, {}, str(tmp_path), is_reusable=True)
        for _ in range(100):
            if caplog.messages:
                break
            time.sleep(0.05)
    assert caplog.messages[0].startswith("30 of 40 rows are read (75 %), about 0 s left")


def test_progress_in_words():
    assert in_words(1200, 5000, 60.0) == "1,200 of 5,000 rows are read (24 %), about 3 min left"
    assert in_words(50, 100, 30.0) == "50 of 100 rows are read (50 %), about 30 s left"
