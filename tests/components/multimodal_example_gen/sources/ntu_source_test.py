import collections
import io
import os
import re
import shutil

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image

from components.multimodal_example_gen.executor import ingest
from components.multimodal_example_gen.readers import video_decoder
from components.multimodal_example_gen.row import SkipRowError
from components.multimodal_example_gen.sources.ntu_classes import ACTIONS
from components.multimodal_example_gen.sources.ntu_source import NTU_SPLITS, PUBLISHED_ROWS, NtuSource
from components.multimodal_example_gen.sources.registry import make_source
from tests.components.multimodal_example_gen import manifest_folder
from tests.layouts import ntu_folder
from tests.layouts.ntu_folder import clip_name, skeleton_path, video_path

FIRST = clip_name(1, 1, 1, 1, 1)


def write_clip(folder, name, shade=100, num_frames=4):
    """A small clip whose brightness and whose person's place tell which one it is."""
    frames = np.full((num_frames, 48, 64, 3), shade, np.uint8)
    ntu_folder.write_video(video_path(folder, name), frames)
    body = ntu_folder.BODY + np.array([0, 0, shade / 100])
    ntu_folder.write_skeleton(skeleton_path(folder, name), [[(1, body)] for _ in range(num_frames)])


def shades(features):
    """The shade that each modality of `write_clip` tells, in tens: the colours of a video are right up to two."""
    depth = float(features["skeleton"][0, 0, 0, 2] - ntu_folder.BODY[0, 2]) * 100
    brightness = float(np.asarray(Image.open(io.BytesIO(features["video"][0]))).mean())
    return tuple(10 * round(value / 10) for value in (depth, brightness))


def names_only(folder, names):
    """Empty files: enough for what `read` decides."""
    for name in names:
        for path in (video_path(folder, name), skeleton_path(folder, name)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def skips(folder, **settings):
    return {(skip.reason, skip.id) for skip in NtuSource(str(folder), **settings).read().skipped}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Three clips, one a split."""
    folder = tmp_path_factory.mktemp("ntu")
    for shade, performer in ((60, 1), (110, 2), (160, 3)):
        write_clip(folder, clip_name(1, 1, performer, 1, 1), shade)
    return folder


@pytest.fixture
def folder(good, tmp_path):
    """A copy to break."""
    return shutil.copytree(good, tmp_path / "ntu")


def test_the_60_actions():
    assert len(ACTIONS) == 60 == len(set(ACTIONS))
    assert (ACTIONS[0], ACTIONS[42], ACTIONS[49]) == ("drink water", "falling", "punching/slapping other person")


def test_splits_by_subject_and_camera():
    # From the authors' paper (cross-subject training subjects) and BM-NAS (dev and exploration subjects).
    official = [1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38]
    by_split = {name: {camera: collections.defaultdict(list) for camera in (1, 2, 3)} for name in NTU_SPLITS}
    for name, split_of in NTU_SPLITS.items():
        for camera in (1, 2, 3):
            for performer in range(1, 41):
                by_split[name][camera][split_of(performer, camera)].append(performer)
    test = [performer for performer in range(1, 41) if performer not in official]
    for camera in (1, 2, 3):
        paper = by_split["paper"][camera]
        assert paper["train"] == [1, 8, 15, 17, 19, 27, 31, 35] and paper["dev"] == [2, 5, 9, 14]
        assert paper["test"] == test and len(paper[None]) == 8
        for name in ("bmnas", "cross_subject"):
            assert by_split[name][camera]["dev"] == [2, 5, 9, 14] and by_split[name][camera]["test"] == test
            assert by_split[name][camera]["train"] == [number for number in official if number not in (2, 5, 9, 14)]
            assert None not in by_split[name][camera]
    view = by_split["cross_view"]
    assert view[1] == {"test": list(range(1, 41))}
    for camera in (2, 3):
        assert view[camera]["dev"] == [2, 5, 9, 14] and len(view[camera]["train"]) == 36 and "test" not in view[camera]


def test_rows_are_those_of_an_independent_reader(tmp_path):
    names = [name for name, _, _ in ntu_folder.learnable_clips(120)]
    names_only(tmp_path, names)
    expected = {}
    for name in sorted(os.listdir(tmp_path / "nturgb+d_rgb")):
        numbers = [int(number) for number in re.findall(r"\d+", name)]
        split = {1: "train", 2: "dev", 3: "test"}[
            1 if numbers[2] in (1, 8, 15, 17, 19, 27, 31, 35) else 2 if numbers[2] in (2, 5, 9, 14) else 3
        ]
        expected[name[:20]] = (split, (ACTIONS[numbers[4] - 1],), f"nturgb+d_rgb/{name}")
    listing = NtuSource(str(tmp_path)).read()
    assert {row.id: (row.split, row.labels, row.media["video"]) for row in listing.rows} == expected
    assert len(listing.rows) == 120 and listing.skipped == [] and listing.classes == ACTIONS


def test_pairs_are_made_by_name(folder):
    # A video without skeleton in front of all others: listings in parallel would be one off from here on.
    write_clip(folder, FIRST.replace("R001", "R002"), 200)
    skeleton_path(folder, FIRST.replace("R001", "R002")).unlink()
    video_path(folder, clip_name(1, 1, 2, 1, 1)).unlink()
    source = NtuSource(str(folder))
    listing = source.read()
    assert [row.id for row in listing.rows] == [FIRST, clip_name(1, 1, 3, 1, 1)]
    assert [shades(source.features(row)) for row in listing.rows] == [(60, 60), (160, 160)]
    assert [(skip.reason, skip.id) for skip in listing.skipped] == [
        ("missing_skeleton", FIRST.replace("R001", "R002")),
        ("missing_video", clip_name(1, 1, 2, 1, 1)),
    ]


def test_features(good):
    source = NtuSource(str(good), max_frames=3, max_skeleton_frames=2, short_side=24)
    (row, *_) = source.read().rows
    features = source.features(row)
    assert list(features) == ["skeleton", "video"] == list(NtuSource.modalities)
    assert features["skeleton"].shape == (2, 2, 25, 3) and features["skeleton"].dtype == np.float32
    assert [Image.open(io.BytesIO(frame)).size for frame in features["video"]] == [(32, 24)] * 3


def test_folders_of_other_codes_and_one_deeper(good, tmp_path):
    expected = {row.id for row in NtuSource(str(good)).read().rows}
    shutil.copytree(good / "nturgb+d_rgb", tmp_path / "nturgbd_rgb" / "avi_256x256_30")
    shutil.copytree(good / "nturgb+d_skeletons", tmp_path / "nturgbd_skeletons" / "S001")
    source = NtuSource(str(tmp_path))
    listing = source.read()
    assert {row.id for row in listing.rows} == expected and listing.skipped == []
    assert shades(source.features(listing.rows[0])) == (60, 60)
    named = NtuSource(str(tmp_path), rgb_folder="nturgbd_rgb/avi_256x256_30", skeleton_folder="nturgbd_skeletons/S001")
    assert {row.id for row in named.read().rows} == expected


@pytest.mark.parametrize("suffix", ["", ".skeleton"])
@pytest.mark.parametrize("header", ["", "Samples with missing skeletons\n\n(version 1, 2 names):\n"])
def test_the_list_of_missing_skeletons(folder, tmp_path, header, suffix):
    path = tmp_path / "missing.txt"
    path.write_text(f"{header}{FIRST}{suffix}\r\n{clip_name(9, 1, 2, 1, 60)}{suffix}\n")
    source = NtuSource(str(folder), missing_list=str(path))
    assert skips(folder, missing_list=str(path)) == {("listed_skeleton", FIRST)}
    filled = NtuSource(str(folder), missing_list=str(path), missing_skeletons="zero_fill")
    listing = filled.read()
    assert len(listing.rows) == 3 and listing.observed == {"skeletons filled with zeros": 1}
    features = filled.features(listing.rows[0])
    assert features["skeleton"].shape == (1, 2, 25, 3) and not features["skeleton"].any()
    # One that is missing without being listed is no case for zeros.
    skeleton_path(folder, clip_name(1, 1, 2, 1, 1)).unlink()
    assert {skip.reason for skip in filled.read().skipped} == {"missing_skeleton"}
    before = source.fingerprint()
    path.write_text(f"{FIRST}\n")
    assert source.fingerprint() != before


def test_a_list_that_is_none(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no list of clips"):
        NtuSource(str(folder), missing_list=str(tmp_path / "none.txt")).read()
    (tmp_path / "list.txt").write_text("What a nice day\n")
    with pytest.raises(ValueError, match="names no clip.*S001C002P005R002A008"):
        NtuSource(str(folder), missing_list=str(tmp_path / "list.txt")).read()


def test_what_is_no_clip_of_this_set(folder):
    names_only(folder, [clip_name(18, 1, 41, 1, 61), clip_name(1, 4, 1, 1, 1), clip_name(1, 1, 1, 3, 1)])
    names_only(folder, [clip_name(0, 1, 1, 1, 1), clip_name(1, 1, 4, 1, 1), clip_name(1, 1, 1, 1, 2)])
    for name in (
        "readme.txt",
        "S1C1P1R1A1_rgb.avi",
        f"{FIRST}_depth.avi",
        f"{FIRST}_rgb.avi.part",
        f"x{FIRST}_rgb.avi",
    ):
        (folder / "nturgb+d_rgb" / name).touch()
    listing = NtuSource(str(folder), classes=["drink water", "falling"]).read()
    assert len(listing.rows) == 3
    assert {(skip.reason, skip.id) for skip in listing.skipped} == {
        ("wrong_name", clip_name(1, 4, 1, 1, 1)),
        ("wrong_name", clip_name(1, 1, 1, 3, 1)),
        ("wrong_name", clip_name(0, 1, 1, 1, 1)),
    }
    assert listing.observed == {
        "clips of NTU RGB+D 120, ignored": 1,
        "clips of subjects outside the split 'paper', ignored": 1,
        "clips of other actions, ignored": 1,
    }


def test_two_files_of_one_name(folder):
    (folder / "nturgb+d_rgb" / "again").mkdir()
    shutil.copy(video_path(folder, FIRST), folder / "nturgb+d_rgb" / "again")
    assert skips(folder) == {("duplicate_clip", FIRST)}


def reason_of(source, name):
    (row,) = [row for row in source.read().rows if row.id == name]
    with pytest.raises(SkipRowError) as error:
        source.features(row)
    return error.value.reason


def test_links_out_of_the_folder_are_not_followed(folder, tmp_path):
    outside = tmp_path / "outside.avi"
    shutil.copy(video_path(folder, FIRST), outside)
    video_path(folder, FIRST).unlink()
    video_path(folder, FIRST).symlink_to(outside)
    assert reason_of(NtuSource(str(folder)), FIRST) == "path_outside_root"
    assert str(outside) not in [path for _, path in NtuSource(str(folder)).files()]
    shutil.move(folder / "nturgb+d_rgb", tmp_path / "rgb")
    (folder / "nturgb+d_rgb").symlink_to(tmp_path / "rgb")
    with pytest.raises(ValueError, match="leads out of the data root.*`data_root`"):
        NtuSource(str(folder)).read()
    with pytest.raises(ValueError, match="without '..'"):
        NtuSource(str(folder), rgb_folder="../rgb").read()


def test_broken_files_are_skipped_and_counted(folder):
    source = NtuSource(str(folder))
    path = skeleton_path(folder, FIRST)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    assert reason_of(source, FIRST) == "truncated_skeleton"
    path.write_bytes(os.urandom(2000).replace(b"\n", b"x"))
    assert reason_of(source, FIRST) == "broken_skeleton"
    path.write_text("1\n0\n")
    assert reason_of(source, FIRST) == "no_body"
    path.write_text(text)
    video_path(folder, FIRST).write_bytes(b"RIFF")
    assert reason_of(source, FIRST) == "unreadable_video"
    video_path(folder, FIRST).unlink()
    os.mkfifo(video_path(folder, FIRST))
    assert reason_of(source, FIRST) == "missing_video"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "official"}, "`split` must be one of .*'cross_view'.*'official'"),
        ({"missing_skeletons": "keep"}, "'drop' or 'zero_fill'.*'keep'"),
        ({"missing_skeletons": "zero_fill"}, "`missing_list` must name"),
        ({"classes": ["drink water", "fly"]}, r"unknown: \['fly'\]"),
        ({"classes": ["drink water"]}, "two or more"),
        ({"max_frames": 1}, "`max_frames` must be a whole number from 2 to 1024.*1"),
        ({"max_skeleton_frames": 10**9}, "`max_skeleton_frames`"),
        ({"short_side": 256.0}, "`short_side`"),
        ({"jpeg_quality": 100}, "`jpeg_quality`"),
    ],
)
def test_wrong_settings(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        NtuSource(str(tmp_path), **settings)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none of the folders \['nturgb\+d_rgb'.*`data_root`.*`rgb_folder`"):
        NtuSource(str(tmp_path)).read()


def test_without_pyav_it_does_not_start(good, monkeypatch):
    monkeypatch.setattr(video_decoder.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"hfmnas-keras\[video\]"):
        NtuSource(str(good)).read()


def test_the_fingerprint_is_by_metadata_unless_said_otherwise(folder):
    source = NtuSource(str(folder))
    before, content = source.fingerprint(), source.fingerprint("content")
    assert before.startswith("metadata:") and source.fingerprint() == before
    for path in (video_path(folder, FIRST), skeleton_path(folder, FIRST)):
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert source.fingerprint() != before and source.fingerprint("content") == content
        before = source.fingerprint()
    skeleton_path(folder, FIRST).unlink()
    assert source.fingerprint() != before


@pytest.fixture(scope="module")
def learnable(tmp_path_factory):
    """Forty clips, two of them broken."""
    folder = ntu_folder.write_folder(tmp_path_factory.mktemp("learnable"), number=80, codec="mpeg4")
    names = [name for name, split, _ in ntu_folder.learnable_clips(80) if split == "train"]
    video_path(folder, names[0]).write_bytes(b"RIFF")
    skeleton_path(folder, names[1]).write_text("2\n0\n0\n")
    return folder


@pytest.fixture(scope="module")
def ingested(learnable, tmp_path_factory):
    source = make_source("ntu", {"data_root": str(learnable), "max_frames": 8})
    return manifest_folder.run_ingest(source, tmp_path_factory.mktemp("ingested"))


def test_counts_are_held_against_table_i(ingested):
    report, by_split = ingested
    assert report["rows"] == {"train": 46, "dev": 12, "test": 20}
    assert report["published_rows"] == PUBLISHED_ROWS == {"train": 23760, "dev": 2519, "test": 16558}
    assert {reason: entry["count"] for reason, entry in report["skipped"].items()} == {
        "unreadable_video": 1,
        "no_body": 1,
    }
    (told,) = [warning for warning in report["warnings"] if "Table I" in warning]
    assert "'train': 46" in told and "eight subjects" in told and "23633, 2509 and 16487" in told
    assert report["rows_by_class"]["train"]["handshaking"] == 12
    assert [len(examples) for examples in by_split.values()] == [46, 12, 20]


def test_examples(ingested, learnable):
    _, by_split = ingested
    for split, examples in by_split.items():
        for example in examples:
            feature = example.features.feature
            assert set(feature) == {"id", "labels", "skeleton", "video"}
            name = manifest_folder.value_of(example, "id").decode()
            assert NTU_SPLITS["paper"](int(name[9:12]), int(name[5:8])) == split
            assert manifest_folder.value_of(example, "labels").decode() == ACTIONS[int(name[17:]) - 1]
            skeleton = np.array(feature["skeleton"].float_list.value).reshape(-1, 2, 25, 3)
            # x, y, z of the first joint of the first frame, as they stand in the file.
            lines = skeleton_path(learnable, name).read_text().split("\n")
            np.testing.assert_allclose(skeleton[0, 0, 0], [float(value) for value in lines[4].split()[:3]], rtol=1e-6)
            assert len(skeleton) == int(lines[0])
            assert 1 <= len(feature["video"].bytes_list.value) <= 8


def test_two_runs_write_the_same(ingested, learnable, tmp_path):
    source = make_source("ntu", {"data_root": str(learnable), "max_frames": 8})
    assert manifest_folder.run_ingest(source, tmp_path) == ingested


@pytest.mark.long
def test_several_worker_processes_write_the_same(ingested, learnable, tmp_path):
    def pipeline():
        return beam.Pipeline(
            options=PipelineOptions(["--direct_running_mode=multi_processing", "--direct_num_workers=2"])
        )

    source = make_source("ntu", {"data_root": str(learnable), "max_frames": 8})
    report = ingest(source, str(tmp_path), pipeline)
    assert (report, manifest_folder.read_examples(tmp_path)) == ingested


def test_strict_refuses_and_names_the_clips(learnable, tmp_path):
    with pytest.raises(ValueError, match="2 rows that cannot be used(.*\n)*.*unreadable_video"):
        ingest(NtuSource(str(learnable), strict=True), str(tmp_path), beam.Pipeline)
