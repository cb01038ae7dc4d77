"""Addresses stay as they are; files and folders are copied from and to them. `ram://` stands for a bucket."""

import os
import pathlib

import pytest
import tensorflow as tf

from hfmnas_keras.addresses import absolute_path, is_address, scheme_of
from hfmnas_keras.data.stored_files import check_address, copy_file, copy_folder, is_file


@pytest.mark.parametrize("path", ["gs://bucket/x", "ram://x", "s3://x", "hdfs://x/y"])
def test_an_address_stays_as_it_is(path):
    assert is_address(path)
    assert absolute_path(path, "/elsewhere") == path


@pytest.mark.parametrize("path", ["x/y", "gs:/bucket", "/a://b", "C:\\x", pathlib.Path("x")])
def test_a_path_is_made_absolute(path, tmp_path):
    assert not is_address(path)
    assert scheme_of(path) == ""
    assert absolute_path(path, tmp_path).startswith("/")


def test_a_scheme_that_tensorflow_does_not_know_is_refused_with_the_known_ones():
    check_address("ram://bucket")
    check_address("relative/path")
    with pytest.raises(ValueError, match=r"no scheme 'nope', of 'nope://x', but \[.*'ram'"):
        check_address("nope://x")


def test_a_folder_is_copied_beside_what_is_there(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a").write_text("new")
    bucket = "ram://stored_files/merge"
    copy_folder(str(tmp_path), bucket)
    (tmp_path / "inner" / "a").unlink()
    (tmp_path / "b").write_text("b")
    copy_folder(str(tmp_path), bucket)
    assert {name.rstrip("/") for name in tf.io.gfile.listdir(bucket)} == {"inner", "b"}
    copy_folder(bucket, str(tmp_path / "back"))
    assert (tmp_path / "back" / "inner" / "a").read_text() == "new"


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="ram://stored_files/nothing"):
        copy_file("ram://stored_files/nothing", str(tmp_path / "x"))


@pytest.mark.parametrize("root", ["local", "bucket"])
def test_a_file_is_what_can_be_read_to_its_end(tmp_path, root):
    folder = str(tmp_path) if root == "local" else f"ram://{tmp_path.name}"
    tf.io.gfile.makedirs(f"{folder}/a")
    with tf.io.gfile.GFile(f"{folder}/a/file", "w") as file:
        file.write("content")
    assert is_file(f"{folder}/a/file")
    assert not is_file(f"{folder}/a") and not is_file(f"{folder}/b")


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not is_file(str(tmp_path / "pipe"))
