"""A whole run whose data, artifacts, checkpoints and pushed models lie in an object store: TensorFlow's `ram://`."""

from __future__ import annotations

import os
import pathlib

import pytest
import tensorflow as tf
from coloured_shapes import write_shapes
from conftest import run_once, write_config

from hfmnas_keras.data.stored_files import copy_folder
from pipeline.config_file import load_config

BUCKET = "ram://bucket"


def files_below(folder):
    return {os.path.join(where, name) for where, _, names in tf.io.gfile.walk(folder) for name in names}


def versions_in(folder):
    return [name.rstrip("/") for name in tf.io.gfile.listdir(folder) if name.rstrip("/").isdigit()]


@pytest.mark.long
def test_a_run_in_a_bucket_goes_on_after_a_kill_and_is_served_from_the_cache(tmp_path, monkeypatch):
    data = tmp_path / "data"
    write_shapes(data)
    copy_folder(str(data), f"{BUCKET}/data")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = write_config(
        tmp_path,
        f"{BUCKET}/data/shapes.jsonl",
        paths={"root": f"{BUCKET}/run"},
        serving={"push_destination": f"{BUCKET}/serving/shapes"},
    )
    config = load_config(path)
    assert config.data.manifest == f"{BUCKET}/data/shapes.jsonl"

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("components.architecture_search.executor.search_architecture", killed)
        assert run_once(path).code == 130
    assert not tf.io.gfile.exists(config.push_destination)

    first = run_once(path)
    assert first.code == 0, first.text
    (version,) = versions_in(config.push_destination)
    # The model card lies beside it.
    assert tf.io.gfile.exists(f"{config.push_destination}/model_cards/{version}.json")
    model = os.path.join(config.push_destination, version)
    assert tf.io.gfile.exists(os.path.join(model, "saved_model.pb"))
    assert set(tf.saved_model.load(model).signatures) >= {"serving_default", "serve_json"}
    # What the Trainer saves beside the SavedModel does not take its place.
    (trained,) = tf.io.gfile.glob(f"{config.pipeline_root}/Trainer/model/*")
    assert tf.io.gfile.exists(f"{trained}/classifier.keras")
    assert tf.io.gfile.exists(f"{trained}/Format-Serving/saved_model.pb")
    assert files_below(config.checkpoint_root) == set()

    second = run_once(path)
    assert second.code == 0, second.text
    assert versions_in(config.push_destination) == [version]
    assert len(tf.io.gfile.glob(f"{config.pipeline_root}/Trainer/model/*")) == 1

    # Metadata, the schema's copy and logs alone are of this machine.
    names = {path.name for path in pathlib.Path("runs/shapes").rglob("*") if path.is_file()}
    assert names <= {"metadata.sqlite", "run.log", "error.log", ".lock", "manifest.pbtxt"}
    assert os.listdir(".") == ["runs"]
