"""Artifacts in an object store are read and written through local copies."""

from __future__ import annotations

import pathlib
import time

import pytest
import tensorflow as tf

from components.local_folders import mirrored_folder, readable_file, readable_folder, remove_folder, writable_folder


def test_a_local_folder_is_used_as_it_is(tmp_path):
    with writable_folder(str(tmp_path / "new")) as folder:
        assert pathlib.Path(folder) == tmp_path / "new"
        assert pathlib.Path(folder).is_dir()
    with readable_folder(str(tmp_path)) as folder:
        assert folder == str(tmp_path)


def test_a_remote_folder_is_copied_both_ways():
    # TensorFlow's file system in memory stands for a bucket.
    uri = "ram://artifacts/genotype"
    with writable_folder(uri) as folder:
        (pathlib.Path(folder) / "inner").mkdir()
        (pathlib.Path(folder) / "inner" / "genotype.json").write_text("{}")
    assert tf.io.gfile.exists(f"{uri}/inner/genotype.json")
    with readable_folder(uri) as folder:
        assert (pathlib.Path(folder) / "inner" / "genotype.json").read_text() == "{}"


def test_what_lies_under_an_address_already_stays():
    # TFX's `copy_dir` empties the target: the Trainer's model was gone when its `.keras` file was saved beside it.
    uri = "ram://artifacts/model"
    for name in ("saved_model.pb", "classifier.keras"):
        with writable_folder(uri) as folder:
            (pathlib.Path(folder) / name).write_text(name)
    assert sorted(tf.io.gfile.listdir(uri)) == ["classifier.keras", "saved_model.pb"]


def test_a_file_in_a_bucket_is_read_through_a_copy(tmp_path):
    with tf.io.gfile.GFile("ram://artifacts/weights.h5", "wb") as file:
        file.write(b"weights")
    with readable_file("ram://artifacts/weights.h5") as path:
        assert path.endswith("/weights.h5")
        assert pathlib.Path(path).read_bytes() == b"weights"
    assert not pathlib.Path(path).exists()
    with readable_file(str(tmp_path / "x")) as path:
        assert path == str(tmp_path / "x")


def test_checkpoints_reach_the_bucket_while_the_work_goes_on_and_come_back_after_a_kill():
    uri = "ram://checkpoints/search"
    with pytest.raises(KeyboardInterrupt), mirrored_folder(uri, seconds=0.01) as folder:
        (pathlib.Path(folder) / "state.npz").write_text("step 1")
        waited = time.monotonic()
        while not tf.io.gfile.exists(f"{uri}/state.npz"):
            assert time.monotonic() - waited < 20
            time.sleep(0.01)
        (pathlib.Path(folder) / "state.npz").write_text("step two")
        raise KeyboardInterrupt
    with mirrored_folder(uri) as folder:
        assert (pathlib.Path(folder) / "state.npz").read_text() == "step two"
        (pathlib.Path(folder) / "state.npz").unlink()
        (pathlib.Path(folder) / "other.npz").write_text("x")
    assert tf.io.gfile.listdir(uri) == ["other.npz"]
    remove_folder(uri)
    assert not tf.io.gfile.exists(f"{uri}/other.npz")
    remove_folder(uri)


def test_a_local_folder_of_checkpoints_is_used_as_it_is_and_not_made(tmp_path):
    with mirrored_folder(str(tmp_path / "checkpoints")) as folder:
        assert folder == str(tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()
