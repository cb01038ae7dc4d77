"""Files changed at random: what comes out is right, or a counted skip, or a clear error; never a wrong pair."""

import io
import os
import shutil
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.multimodal_example_gen.row import SPLITS, SkipRowError
from components.multimodal_example_gen.sources.egogesture_source import EgoGestureSource
from components.multimodal_example_gen.sources.ntu_source import NtuSource
from tests.components.multimodal_example_gen.mutations import mutated, replaced
from tests.layouts import egogesture_folder, ntu_folder

MUTATIONS = [200, pytest.param(1000, marks=pytest.mark.long)]


def check_frames(features):
    """All frames are what a decoder downstream takes, and of one size."""
    for name, channels, kind in (("video", 3, "JPEG"), ("depth", 1, "PNG")):
        for frames in [features[name]] if name in features else []:
            decoded = [tf.io.decode_image(frame, channels, expand_animations=False).numpy() for frame in frames]
            assert 1 <= len(frames) <= 8 and len({image.shape for image in decoded}) == 1
            assert {Image.open(io.BytesIO(frame)).format for frame in frames} == {kind}


def equal(one, other):
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)


def run(source, folder, files_of, number, generator):
    """Breaks one file of a row at a time; counts the reasons of skips, `"kept"` and `"unlisted"`."""
    pristine = folder.parent / "pristine"
    shutil.copytree(folder, pristine)
    rows = {row.id: row for row in source.read().rows}
    expected = {row_id: source.features(row) for row_id, row in rows.items()}
    outcomes = Counter()
    for turn in range(number):
        row_id = sorted(rows)[turn % len(rows)]
        files = files_of(row_id)
        path = files[int(generator.integers(len(files)))]
        if generator.random() < 0.1:
            replaced(path, pristine, generator)
        else:
            path.write_bytes(mutated(path.read_bytes(), generator))
        listing = source.read()
        assert source.fingerprint().startswith("metadata:")
        found = {row.id: row for row in listing.rows}
        if row_id not in found:
            outcomes["unlisted"] += 1
        for other in {row_id, sorted(rows)[(turn + 1) % len(rows)]} & set(found):
            assert found[other].split in SPLITS
            try:
                features = source.features(found[other])
            except SkipRowError as error:
                outcomes[error.reason] += 1
                continue
            check_frames(features)
            if "skeleton" in features:
                assert np.isfinite(features["skeleton"]).all() and features["skeleton"].shape[1:] == (2, 25, 3)
            if other == row_id:
                outcomes["kept"] += 1
                # The file that was left alone is still that of this row.
                same = [name for name, value in features.items() if np.array_equal(value, expected[other][name])]
                assert len(same) >= len(features) - 1 or path.suffix == ".csv"
            elif path.suffix != ".csv":
                assert equal(features, expected[other])
        back = pristine / path.relative_to(folder)
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        for stray in path.parent.iterdir():
            if b"\xff" in os.fsencode(stray.name):
                stray.unlink()
        shutil.copy2(back, path)
    assert equal(source.features(rows[row_id]), expected[row_id])
    # Neither is everything taken nor nothing, and the decoder survives.
    assert outcomes["kept"] > number // 10 and outcomes.total() - outcomes["kept"] > number // 10
    assert outcomes["unlisted"] and not outcomes["decoder_crashed"] + outcomes["decoder_timeout"]
    print(number, dict(outcomes))


@pytest.mark.parametrize(
    ("number", "codec"),
    [
        (200, "mpeg4"),
        pytest.param(1000, "mpeg4", marks=pytest.mark.long),
        pytest.param(1000, "mjpeg", marks=pytest.mark.long),
    ],
)
def test_ntu(tmp_path, number, codec):
    folder = ntu_folder.write_folder(tmp_path / "ntu", 12, codec=codec)

    def files_of(name):
        return [ntu_folder.skeleton_path(folder, name), ntu_folder.video_path(folder, name)]

    source = NtuSource(str(folder), max_frames=8)
    run(source, folder, files_of, number, np.random.default_rng(1))


@pytest.mark.parametrize("number", MUTATIONS)
def test_egogesture(tmp_path, number):
    folder = egogesture_folder.write_folder(tmp_path / "egogesture", 12)

    def files_of(row_id):
        subject, scene, group, segment = row_id.split("/")
        video = (int(subject[-2:]), int(scene[-1]), int(group))
        frame = int(segment[:6]) + 2
        table = folder / "labels-final-revised1" / f"subject{video[0]:02d}" / f"Scene{video[1]}" / f"Group{group}.csv"
        return [
            egogesture_folder.frame_path(folder, video, frame, "Color"),
            egogesture_folder.frame_path(folder, video, frame, "Depth"),
            table,
        ]

    source = EgoGestureSource(str(folder), max_frames=8)
    run(source, folder, files_of, number, np.random.default_rng(2))


@pytest.mark.parametrize("number", MUTATIONS)
def test_the_list_of_missing_skeletons(tmp_path, number):
    folder = ntu_folder.write_folder(tmp_path / "ntu", 12)
    names = sorted(path.stem for path in (folder / "nturgb+d_skeletons").iterdir())
    text = ("Header\n\n\n" + "\n".join(names[:3]) + "\n").encode()
    generator = np.random.default_rng(3)
    for _ in range(number):
        (tmp_path / "list.txt").write_bytes(mutated(text, generator))
        try:
            listing = NtuSource(str(folder), missing_list=str(tmp_path / "list.txt")).read()
        except ValueError as error:
            assert "names no clip" in str(error)
            continue
        skipped = {skip.id for skip in listing.skipped}
        # Whole names alone count: no other clip is ever dropped for a broken line.
        assert skipped | {row.id for row in listing.rows} == set(names) and len(skipped) <= 3
