import csv
import io
import os
import shutil

import apache_beam as beam
import numpy as np
import pytest
from PIL import Image

from components.multimodal_example_gen.executor import ingest
from components.multimodal_example_gen.row import SkipRowError
from components.multimodal_example_gen.sources import egogesture_source
from components.multimodal_example_gen.sources.egogesture_classes import GESTURES
from components.multimodal_example_gen.sources.egogesture_source import PUBLISHED_ROWS, EgoGestureSource
from components.multimodal_example_gen.sources.registry import make_source
from tests.components.multimodal_example_gen import manifest_folder
from tests.layouts import egogesture_folder
from tests.layouts.egogesture_folder import frame_path, write_frame, write_table

#: One video a split.
VIDEOS = {"train": (3, 1, 1), "dev": (1, 1, 1), "test": (2, 1, 1)}
TRAIN = VIDEOS["train"]


def shade(video, frame):
    """The brightness of a made-up frame: it tells which one it is."""
    return 20 + 5 * frame + 40 * ((video[2] - 1) % 5)


def write_video(folder, video, num_frames=20, images="images"):
    for frame in range(1, num_frames + 1):
        colour = np.full((48, 64, 3), shade(video, frame), np.uint8)
        write_frame(folder, video, frame, colour, colour[..., 0] + 60, images)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("egogesture")
    for video in VIDEOS.values():
        write_video(folder, video)
        write_table(folder, video, ["1,2,9", "83,10,20"])
    return folder


@pytest.fixture
def folder(good, tmp_path):
    """A copy to break."""
    return shutil.copytree(good, tmp_path / "egogesture")


def shades_of(frames, offset=0):
    return [round(float(np.asarray(Image.open(io.BytesIO(frame))).mean())) - offset for frame in frames]


def skips(folder):
    return {(skip.reason, skip.id) for skip in EgoGestureSource(str(folder)).read().skipped}


def row_of(folder, row_id, **settings):
    (row,) = [row for row in EgoGestureSource(str(folder), **settings).read().rows if row.id == row_id]
    return row


def reason_of(folder, row_id="Subject03/Scene1/1/000002-000009", **settings):
    row = row_of(folder, row_id, **settings)
    with pytest.raises(SkipRowError) as error:
        EgoGestureSource(str(folder), **settings).features(row)
    return error.value.reason


def test_the_83_gestures():
    assert len(GESTURES) == 83 == len(set(GESTURES))
    assert (GESTURES[0], GESTURES[20], GESTURES[82]) == (
        "Scroll hand towards right",
        "Static fist",
        "Move fingers forward",
    )


def test_rows_are_those_of_an_independent_reader(tmp_path):
    egogesture_folder.write_folder(tmp_path, 96)
    expected = {}
    for table in (tmp_path / "labels-final-revised1").glob("*/*/*.csv"):
        subject, scene, group = (int("".join(filter(str.isdigit, part))) for part in table.parts[-3:])
        split = (
            "test"
            if subject in (2, 9, 11, 14, 18, 19, 28, 31, 41, 47)
            else "dev"
            if subject in (1, 7, 12, 13, 24, 29, 33, 34, 35, 37)
            else "train"
        )
        for label, start, end in csv.reader(table.read_text().splitlines()):
            row_id = f"Subject{subject:02}/Scene{scene}/{group}/{int(start):06}-{int(end):06}"
            expected[row_id] = (split, (GESTURES[int(label) - 1],))
    listing = EgoGestureSource(str(tmp_path)).read()
    assert {row.id: (row.split, row.labels) for row in listing.rows} == expected
    assert len(expected) == 96 and listing.skipped == [] and listing.observed == {}
    assert {split for split, _ in expected.values()} == {"train", "dev", "test"}


def test_the_split_by_subjects(tmp_path):
    (tmp_path / "images").mkdir()
    for subject in range(1, 51):
        write_table(tmp_path, (subject, 1, 1), ["1,1,5"])
    rows = EgoGestureSource(str(tmp_path)).read().rows
    by_split = {split: [row.media["subject"] for row in rows if row.split == split] for split in VIDEOS}
    assert by_split["test"] == [2, 9, 11, 14, 18, 19, 28, 31, 41, 47]
    assert by_split["dev"] == [1, 7, 12, 13, 24, 29, 33, 34, 35, 37]
    assert len(by_split["train"]) == 30


def test_segments_begin_with_their_first_frame_and_end_with_their_last(good):
    source = EgoGestureSource(str(good))
    features = source.features(row_of(good, "Subject03/Scene1/1/000010-000020"))
    assert list(features) == ["depth", "video"] == list(EgoGestureSource.modalities)
    expected = [shade(TRAIN, frame) for frame in range(10, 21)]
    np.testing.assert_allclose(shades_of(features["video"]), expected, atol=1)
    np.testing.assert_allclose(shades_of(features["depth"], 60), expected, atol=1)


def test_long_segments_are_sampled_evenly_and_alike(good):
    source = EgoGestureSource(str(good), max_frames=3)
    features = source.features(row_of(good, "Subject03/Scene1/1/000010-000020"))
    expected = [shade(TRAIN, frame) for frame in (10, 15, 20)]
    np.testing.assert_allclose(shades_of(features["video"]), expected, atol=1)
    np.testing.assert_allclose(shades_of(features["depth"], 60), expected, atol=1)


def test_the_number_of_the_table_is_that_of_the_folders(folder):
    for group in (2, 10):
        write_video(folder, (3, 1, group), num_frames=3)
        write_table(folder, (3, 1, group), ["5,1,3"])
    source = EgoGestureSource(str(folder))
    features = source.features(row_of(folder, "Subject03/Scene1/2/000001-000003"))
    np.testing.assert_allclose(shades_of(features["video"]), [shade((3, 1, 2), frame) for frame in (1, 2, 3)], atol=1)
    assert row_of(folder, "Subject03/Scene1/10/000001-000003").media["group"] == 10


def test_without_the_folder_images(good, tmp_path):
    shutil.copytree(good / "labels-final-revised1", tmp_path / "labels-final-revised1")
    shutil.copytree(good / "images", tmp_path, dirs_exist_ok=True)
    for source in (EgoGestureSource(str(tmp_path)), EgoGestureSource(str(good))):
        rows = source.read().rows
        assert len(rows) == 6
        assert [len(source.features(row)["video"]) for row in rows] == [8, 11] * 3
    assert EgoGestureSource(str(tmp_path)).fingerprint("content") == EgoGestureSource(str(good)).fingerprint("content")


def test_quirks_of_the_tables(folder):
    write_table(
        folder, (3, 2, 1), ["98.0,1.0,5.0", "", "5.0,1.0,5.0", "nan,nan,NaN", ",,", " 6 , 6 , 9 "], "group1.csv"
    )
    path = write_table(folder, (3, 3, 2), ["7,1,5"], "Group2.csv")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    path.parent.parent.rename(path.parent.parent.with_name("Subject03"))
    listing = EgoGestureSource(str(folder)).read()
    found = {row.id: row.labels for row in listing.rows}
    assert found["Subject03/Scene2/1/000001-000005"] == (GESTURES[4],)
    assert found["Subject03/Scene2/1/000006-000009"] == (GESTURES[5],)
    assert found["Subject03/Scene3/2/000001-000005"] == (GESTURES[6],)
    assert [skip.reason for skip in listing.skipped] == ["unknown_label"]
    assert listing.skipped[0].place.endswith("group1.csv, line 1")
    assert listing.observed == {"lines of tables that are blank, ignored": 2}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0,1,5", "unknown_label"),
        ("84,1,5", "unknown_label"),
        ("-3,1,5", "unknown_label"),
        ("5,0,5", "wrong_segment"),
        ("5,6,5", "wrong_segment"),
        ("5,1,1000000", "wrong_segment"),
        ("5,1,10001", "wrong_segment"),
        ("5,-1,5", "wrong_segment"),
        ("5,1", "broken_row"),
        ("5,1,5,9", "broken_row"),
        ("5,nan,5", "broken_row"),
        ("5,,5", "broken_row"),
        ("5,1.5,5", "broken_row"),
        ("5,inf,5", "broken_row"),
        ("5,1_0,50", "broken_row"),
        ("5,1e999,50", "broken_row"),
        ("five,1,5", "broken_row"),
        ('"5,1,5', "broken_row"),
        ("9" * 5000 + ",1,5", "broken_row"),
        ("5,2,9", "duplicate_id"),
    ],
)
def test_lines_that_cannot_be_used(folder, line, reason):
    write_table(folder, TRAIN, ["1,2,9", line, "83,10,20"])
    listing = EgoGestureSource(str(folder)).read()
    assert [(skip.reason, skip.place) for skip in listing.skipped] == [
        (reason, "labels-final-revised1/subject03/Scene1/Group1.csv, line 2")
    ]
    # Neighbours are kept, whatever the line was.
    assert len(listing.rows) == 6


def test_names_out_of_range_and_named_twice(folder):
    write_table(folder, (51, 1, 1), ["1,1,5"])
    write_table(folder, (3, 7, 1), ["1,1,5"])
    write_table(folder, (3, 1, 0), ["1,1,5"])
    write_table(folder, TRAIN, ["1,1,5"], "group1.csv")
    (folder / "labels-final-revised1" / "notes.txt").touch()
    assert skips(folder) == {
        ("wrong_name", "labels-final-revised1/subject51/Scene1/Group1.csv"),
        ("wrong_name", "labels-final-revised1/subject03/Scene7/Group1.csv"),
        ("wrong_name", "labels-final-revised1/subject03/Scene1/Group0.csv"),
        ("duplicate_table", "labels-final-revised1/subject03/Scene1/group1.csv"),
    }


def test_frames_that_are_not_there(folder):
    write_table(folder, TRAIN, ["1,2,9", "5,15,21"])
    # One past the end, in the middle of a segment, of one modality alone.
    assert reason_of(folder, "Subject03/Scene1/1/000015-000021") == "missing_frame"
    frame_path(folder, TRAIN, 5, "Depth").unlink()
    assert reason_of(folder) == "missing_frame"
    shutil.rmtree(folder / "images" / "Subject03")
    assert reason_of(folder) == "missing_frame"


def test_a_clip_of_too_many_bytes(folder, monkeypatch):
    path = frame_path(folder, TRAIN, 5, "Color")
    data = path.read_bytes()
    # A whole JPEG, which is passed on as it is, whatever is said in it.
    comment = b"\xff\xfe" + (60_002).to_bytes(2, "big") + bytes(60_000)
    path.write_bytes(data[:2] + comment + data[2:])
    monkeypatch.setattr(egogesture_source, "MAX_CLIP_BYTES", 60_000)
    assert reason_of(folder) == "clip_too_large"
    path.write_bytes(data)
    EgoGestureSource(str(folder)).features(row_of(folder, "Subject03/Scene1/1/000002-000009"))


def test_frames_that_cannot_be_used(folder, tmp_path):
    path = frame_path(folder, TRAIN, 5, "Color")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert reason_of(folder) == "unreadable_frame"
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(path, format="PNG")
    assert reason_of(folder) == "unreadable_frame"
    Image.fromarray(np.zeros((40, 64, 3), np.uint8)).save(path)
    assert reason_of(folder) == "frame_sizes_differ"
    # Headers that say so.
    for side in (4_000, 30_000):
        size = data.find(b"\xff\xc0") + 5
        path.write_bytes(data[:size] + side.to_bytes(2, "big") * 2 + data[size + 4 :])
        assert reason_of(folder) == "frame_too_large"
    (tmp_path / "outside.jpg").write_bytes(data)
    path.unlink()
    path.symlink_to(tmp_path / "outside.jpg")
    assert reason_of(folder) == "path_outside_root"
    path.unlink()
    os.mkfifo(path)
    assert reason_of(folder) == "missing_frame"


def test_small_colour_frames_are_passed_on_as_they_are(good):
    row = row_of(good, "Subject03/Scene1/1/000002-000009")
    features = EgoGestureSource(str(good)).features(row)
    assert features["video"] == [frame_path(good, TRAIN, frame, "Color").read_bytes() for frame in range(2, 10)]
    depth = [Image.open(io.BytesIO(frame)) for frame in features["depth"]]
    assert {(image.format, image.mode, image.size) for image in depth} == {("PNG", "L", (64, 48))}


def test_large_frames_are_scaled_down(good):
    row = row_of(good, "Subject03/Scene1/1/000002-000009")
    features = EgoGestureSource(str(good), short_side=24).features(row)
    for name, kind in (("video", ("JPEG", "RGB", (32, 24))), ("depth", ("PNG", "L", (32, 24)))):
        images = [Image.open(io.BytesIO(frame)) for frame in features[name]]
        assert {(image.format, image.mode, image.size) for image in images} == {kind}
    np.testing.assert_allclose(shades_of(features["video"]), [shade(TRAIN, frame) for frame in range(2, 10)], atol=1)


def test_other_kinds_of_jpeg_become_rgb_and_grey(folder):
    grey = Image.fromarray(np.full((48, 64), 90, np.uint8))
    for frame in range(2, 10):
        grey.save(frame_path(folder, TRAIN, frame, "Color"))
        Image.merge("RGB", [grey] * 3).save(frame_path(folder, TRAIN, frame, "Depth"))
    # One without its last marker, which Pillow does not miss.
    data = frame_path(folder, TRAIN, 3, "Color").read_bytes()
    frame_path(folder, TRAIN, 3, "Color").write_bytes(data + b"\0\0")
    features = EgoGestureSource(str(folder)).features(row_of(folder, "Subject03/Scene1/1/000002-000009"))
    for name, mode in (("video", "RGB"), ("depth", "L")):
        images = [Image.open(io.BytesIO(frame)) for frame in features[name]]
        assert {image.mode for image in images} == {mode}
        assert {round(float(np.asarray(image).mean())) for image in images} == {90}
    assert all(frame.endswith(b"\xff\xd9") for frame in features["video"])


def test_other_gestures_are_ignored(good):
    source = EgoGestureSource(str(good), classes=[GESTURES[0], GESTURES[1]])
    listing = source.read()
    assert len(listing.rows) == 3 and listing.observed == {"segments of other gestures, ignored": 3}
    assert source.published_rows == {} and listing.classes == GESTURES[:2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ["Walk", "fly"]}, r"unknown: \['fly'\]"),
        ({"classes": ["Walk", "Walk"]}, "different"),
        ({"max_frames": 1}, "`max_frames` must be a whole number from 2 to 1024"),
        ({"short_side": "240"}, "`short_side`"),
    ],
)
def test_wrong_settings(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        EgoGestureSource(str(tmp_path), **settings)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a folder 'images' nor.*`data_root`"):
        EgoGestureSource(str(tmp_path)).read()
    (tmp_path / "images").mkdir()
    with pytest.raises(FileNotFoundError, match="no folder 'labels-final-revised1'"):
        EgoGestureSource(str(tmp_path)).read()


def test_the_fingerprint_covers_every_frame_and_table(folder):
    source = EgoGestureSource(str(folder))
    before = source.fingerprint()
    assert before.startswith("metadata:") and source.fingerprint() == before
    for path in (
        frame_path(folder, TRAIN, 5, "Color"),
        frame_path(folder, TRAIN, 5, "Depth"),
        folder / "labels-final-revised1" / "subject03" / "Scene1" / "Group1.csv",
    ):
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert source.fingerprint() != before
        before = source.fingerprint()
    # A frame of no segment.
    os.utime(frame_path(folder, TRAIN, 1, "Color"), ns=(0, 0))
    assert source.fingerprint() == before


@pytest.fixture(scope="module")
def learnable(tmp_path_factory):
    folder = egogesture_folder.write_folder(tmp_path_factory.mktemp("learnable"), 80)
    frame_path(folder, (3, 1, 1), 5, "Depth").unlink()
    return folder


@pytest.fixture(scope="module")
def ingested(learnable, tmp_path_factory):
    source = make_source("egogesture", {"data_root": str(learnable)})
    return manifest_folder.run_ingest(source, tmp_path_factory.mktemp("ingested"))


def test_counts_are_held_against_table_i(ingested):
    report, by_split = ingested
    assert report["rows"] == {"train": 47, "dev": 12, "test": 20}
    assert report["published_rows"] == PUBLISHED_ROWS == {"train": 14416, "dev": 4768, "test": 4977}
    assert {reason: entry["count"] for reason, entry in report["skipped"].items()} == {"missing_frame": 1}
    (told,) = [warning for warning in report["warnings"] if "Table I" in warning]
    assert told.endswith("(Table I)")
    assert [len(examples) for examples in by_split.values()] == [47, 12, 20]


def test_examples(ingested, learnable):
    _, by_split = ingested
    for example in (example for examples in by_split.values() for example in examples):
        feature = example.features.feature
        assert set(feature) == {"id", "labels", "depth", "video"}
        subject, scene, group, segment = manifest_folder.value_of(example, "id").decode().split("/")
        start, end = map(int, segment.split("-"))
        video = (int(subject[-2:]), int(scene[-1]), int(group))
        frames = list(feature["video"].bytes_list.value)
        assert frames == [frame_path(learnable, video, frame, "Color").read_bytes() for frame in range(start, end + 1)]
        for frame, png in zip(range(start, end + 1), feature["depth"].bytes_list.value, strict=True):
            expected = np.asarray(Image.open(frame_path(learnable, video, frame, "Depth")))
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), expected)


def test_two_runs_write_the_same(ingested, learnable, tmp_path):
    assert manifest_folder.run_ingest(make_source("egogesture", {"data_root": str(learnable)}), tmp_path) == ingested


def test_strict_refuses(learnable, tmp_path):
    with pytest.raises(ValueError, match="1 rows that cannot be used(.*\n)*.*missing_frame"):
        ingest(EgoGestureSource(str(learnable), strict=True), str(tmp_path), beam.Pipeline)
