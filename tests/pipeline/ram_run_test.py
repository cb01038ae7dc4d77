"""The whole pipeline in a bucket, for which TensorFlow's file system in memory stands."""

import pathlib

import pytest
import tensorflow as tf
from coloured_shapes import write_shapes
from conftest import run_once, write_config
from ram_files import RamFileSystem  # noqa: F401  # Beam finds it among the classes that exist.

from hfmnas_keras.data.stored_files import copy_folder
from hfmnas_keras.search.bilevel_search import BilevelSearch
from pipeline.served_versions import served_versions

BUCKET = "ram://bucket"


@pytest.fixture
def folders_can_be_renamed(monkeypatch):
    """Teaches `ram://` what each bucket can, and Transform's library asks for: to give a folder another name."""
    rename = tf.io.gfile.rename

    def renamed(source, target, overwrite=False):
        if str(source).startswith("ram://") and tf.io.gfile.isdir(source):
            copy_folder(source, target)
            tf.io.gfile.rmtree(source)
        else:
            rename(source, target, overwrite)

    monkeypatch.setattr(tf.io.gfile, "rename", renamed)


@pytest.fixture
def folders_are_listed_alone(monkeypatch):
    """Takes from the listing of `assets` on `ram://` what it has of `assets.extra` beside it, which no bucket does."""
    listed = tf.io.gfile.listdir

    def of_this_folder(path):
        names = listed(path)
        if not str(path).startswith("ram://"):
            return names
        return [name for name in names if tf.io.gfile.exists(f"{str(path).rstrip('/')}/{name.rstrip('/')}")]

    # By its own name, too: TensorFlow has no public one for those who look it up there.
    monkeypatch.setattr("tensorflow.python.lib.io.file_io.list_directory_v2", of_this_folder)
    monkeypatch.setattr(tf.io.gfile, "listdir", of_this_folder)


@pytest.mark.long
def test_a_run_in_a_bucket(tmp_path, monkeypatch, folders_can_be_renamed, folders_are_listed_alone):
    copy_folder(str(pathlib.Path(write_shapes(tmp_path / "data")).parent), f"{BUCKET}/data")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    config = write_config(
        tmp_path,
        f"{BUCKET}/data/shapes.jsonl",
        paths={"root": f"{BUCKET}/run"},
        search={"channels": 8, "epochs": 2, "batch_size": 16},
        serving={"push_destination": f"{BUCKET}/models"},
    )

    # It ends after the first epoch of the search.
    run_epoch = BilevelSearch._run_epoch

    def killed_in_the_second_epoch(search):
        if search.epoch == 1:
            raise KeyboardInterrupt
        run_epoch(search)

    with monkeypatch.context() as patch:
        patch.setattr(BilevelSearch, "_run_epoch", killed_in_the_second_epoch)
        stopped = run_once(config)
    assert stopped.code == 130, stopped.text

    # Goes on from the checkpoint in the bucket.
    first = run_once(config)
    assert first.code == 0, first.text
    assert "BackboneTrainer: from cache" in first.text
    assert "Search, epoch 2/2" in first.text and "Search, epoch 1/2" not in first.text
    assert len(served_versions(f"{BUCKET}/models")) == 1

    second = run_once(config)
    assert second.code == 0, second.text
    assert "Trainer: from cache" in second.text and "ArchitectureSearch: from cache" in second.text
    assert len(served_versions(f"{BUCKET}/models")) == 1

    # Metadata, logs and the schema stay here, and nothing else.
    here = {str(path.relative_to(tmp_path / "here")) for path in (tmp_path / "here").rglob("*") if path.is_file()}
    assert not [name for name in here if not name.startswith("runs/shapes/")], here
    assert {pathlib.Path(name).suffix for name in here} <= {".log", ".sqlite", ".yaml", ".pbtxt", ".json", ".lock", ""}
