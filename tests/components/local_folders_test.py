"""Artifacts in an object store are read and written through local copies."""

from __future__ import annotations

import pathlib

import tensorflow as tf

from components.local_folders import readable_folder, writable_folder


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
