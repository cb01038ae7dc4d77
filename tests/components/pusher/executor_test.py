import json
import os
import pathlib
import time

import pytest
import tensorflow as tf
from tfx import v1 as tfx
from tfx.types.channel import Channel
from tfx.utils import proto_utils

from components.pusher import executor
from components.pusher.component import Pusher
from components.pusher.model_digest import model_digest


def _write_model(folder, content="weights"):
    """A folder laid out as TFX's Trainer leaves it. Pusher looks at files alone."""
    for name, text in {
        "saved_model.pb": "graph",
        "assets/text_vocabulary": "a\nb",
        "variables/variables.index": "index",
        "variables/variables.data-00000-of-00001": content,
    }.items():
        path = folder / "Format-Serving" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def _push(model_folder, destination, pushed_folder, blessed=1, infra_blessed=1):
    model, pushed = tfx.types.standard_artifacts.Model(), tfx.types.standard_artifacts.PushedModel()
    model.uri, pushed.uri = str(model_folder), str(pushed_folder)
    blessing, infra_blessing = (
        tfx.types.standard_artifacts.ModelBlessing(),
        tfx.types.standard_artifacts.InfraBlessing(),
    )
    blessing.set_int_custom_property("blessed", blessed)
    infra_blessing.set_int_custom_property("blessed", infra_blessed)
    push_destination = tfx.proto.PushDestination(
        filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(destination))
    )
    executor.Executor().Do(
        {"model": [model], "model_blessing": [blessing], "infra_blessing": [infra_blessing]},
        {"pushed_model": [pushed]},
        {"push_destination": proto_utils.proto_to_json(push_destination), "custom_config": "null"},
    )
    return pushed


def _files(folder):
    paths = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


def test_pushes_once_and_again_only_what_changed(tmp_path):
    model, destination = _write_model(tmp_path / "model"), tmp_path / "serving" / "hfmnas"
    first = _push(model, destination, tmp_path / "pushed_1")
    (version,) = os.listdir(destination)
    assert abs(int(version) - time.time()) < 60
    assert _files(destination / version) == _files(model / "Format-Serving") == _files(tmp_path / "pushed_1")
    assert first.get_int_custom_property("pushed") == 1
    assert first.get_int_custom_property("already_serving") == 0
    assert first.get_string_custom_property("pushed_destination") == str(destination / version)
    assert first.get_string_custom_property("pushed_version") == version

    again = _push(_write_model(tmp_path / "copy"), destination, tmp_path / "pushed_2")
    assert os.listdir(destination) == [version]
    assert again.get_int_custom_property("pushed") == 1
    assert again.get_int_custom_property("already_serving") == 1
    assert again.get_string_custom_property("pushed_destination") == str(destination / version)
    assert _files(tmp_path / "pushed_2") == _files(model / "Format-Serving")

    changed = _push(_write_model(tmp_path / "changed", "other weights"), destination, tmp_path / "pushed_3")
    newer = changed.get_string_custom_property("pushed_version")
    # Pushed within the same second, and still greater.
    assert int(newer) > int(version)
    assert sorted(os.listdir(destination)) == [version, newer]
    assert changed.get_int_custom_property("already_serving") == 0

    # Back to the first: it is there, but it is not what serves.
    back = _push(model, destination, tmp_path / "pushed_4")
    assert int(back.get_string_custom_property("pushed_version")) > int(newer)


@pytest.mark.parametrize("refused", [{"blessed": 0}, {"infra_blessed": 0}])
def test_pushes_nothing_without_both_blessings(tmp_path, refused):
    pushed = _push(_write_model(tmp_path / "model"), tmp_path / "serving", tmp_path / "pushed", **refused)
    assert pushed.get_int_custom_property("pushed") == 0
    assert not (tmp_path / "serving").exists()
    assert not (tmp_path / "pushed").exists()


def test_versions_increase_when_the_clock_is_behind(tmp_path):
    ahead = int(time.time()) + 1_000_000
    (tmp_path / "serving" / str(ahead)).mkdir(parents=True)
    (tmp_path / "serving" / "notes").mkdir()
    pushed = _push(_write_model(tmp_path / "model"), tmp_path / "serving", tmp_path / "pushed")
    assert pushed.get_string_custom_property("pushed_version") == str(ahead + 1)


def test_no_version_is_ever_seen_half(tmp_path, monkeypatch):
    """Looks at the destination at every copied file, and lets the copy of the last one fail."""
    model, destination = _write_model(tmp_path / "model"), tmp_path / "serving"
    copied = []
    copy = tf.io.gfile.copy

    def watched_copy(source, target, overwrite=False):
        assert executor.newest_version(str(destination)) is None
        assert all(name.startswith(".") for name in os.listdir(destination))
        copied.append(os.path.basename(source))
        if os.path.basename(source) == "saved_model.pb":
            raise OSError("disk full")
        copy(source, target, overwrite=overwrite)

    monkeypatch.setattr(tf.io.gfile, "copy", watched_copy)
    with pytest.raises(OSError, match="disk full"):
        executor.push_model(str(model / "Format-Serving"), str(destination))
    assert copied[-1] == "saved_model.pb" and len(copied) == 4
    assert os.listdir(destination) == []
    monkeypatch.undo()
    assert _files(executor.push_model(str(model / "Format-Serving"), str(destination))) == _files(
        model / "Format-Serving"
    )


def test_what_a_killed_push_left_is_removed_and_one_at_work_is_left_alone(tmp_path):
    model, destination = _write_model(tmp_path / "model"), tmp_path / "serving"
    for name in ("dead", "alive"):
        _write_model(destination / f".unfinished-{name}")
    long_ago = time.time() - 3600
    for path in [destination / ".unfinished-dead", *(destination / ".unfinished-dead").rglob("*")]:
        os.utime(path, (long_ago, long_ago))
    version = _push(model, destination, tmp_path / "pushed").get_string_custom_property("pushed_version")
    assert sorted(os.listdir(destination)) == [".unfinished-alive", version]


def test_a_damaged_version_is_pushed_again(tmp_path):
    model, destination = _write_model(tmp_path / "model"), tmp_path / "serving"
    first, was_there = executor.ensure_serving(str(model / "Format-Serving"), str(destination))
    assert not was_there
    assert executor.ensure_serving(str(model / "Format-Serving"), str(destination)) == (first, True)
    pathlib.Path(first, "variables", "variables.index").write_text("cut")
    second, was_there = executor.ensure_serving(str(model / "Format-Serving"), str(destination))
    assert not was_there and int(os.path.basename(second)) > int(os.path.basename(first))
    assert _files(second) == _files(model / "Format-Serving")


def test_a_version_without_a_model_does_not_stop_the_push(tmp_path):
    (tmp_path / "serving" / "7").mkdir(parents=True)
    pushed = _push(_write_model(tmp_path / "model"), tmp_path / "serving", tmp_path / "pushed")
    assert pushed.get_int_custom_property("already_serving") == 0
    assert int(pushed.get_string_custom_property("pushed_version")) > 7


def test_digest_knows_names_and_contents_but_not_times(tmp_path):
    def digest(name, files):
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return model_digest(str(tmp_path / name))

    original = digest("original", {"a": "1", "b/c": "2"})
    assert len(original) == 64
    os.utime(tmp_path / "original" / "a", (0, 0))
    assert digest("same", {"b/c": "2", "a": "1"}) == original == model_digest(str(tmp_path / "original"))
    others = [{"a": "1", "b/d": "2"}, {"a": "2", "b/c": "1"}, {"a": "12", "b/c": ""}, {"a": "1"}, {"ab/c": "12"}]
    assert len({original, *(digest(f"other_{index}", files) for index, files in enumerate(others))}) == 6
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no file"):
        model_digest(str(tmp_path / "empty"))


def test_component_is_tfx_pusher_with_our_executor():
    model = Channel(type=tfx.types.standard_artifacts.Model)
    pusher = Pusher(
        model=model,
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory="serving")
        ),
    )
    assert pusher.id == "Pusher"
    assert pusher.executor_spec.class_path == "components.pusher.executor.Executor"
    assert json.loads(pusher.exec_properties["push_destination"])["filesystem"]["base_directory"] == "serving"


def test_destination_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must be a file system's folder"):
        _push(_write_model(tmp_path / "model"), "", tmp_path / "pushed")


@pytest.mark.parametrize("said", ["gs://bucket/serving", '{"filesystem": {"baseDirectory": "gs://bucket/serving"}}'])
def test_a_destination_is_a_folder_or_the_json_of_one(said):
    assert executor.serving_folder(said) == "gs://bucket/serving"


@pytest.mark.parametrize("said", ["", "{}"])
def test_a_destination_that_is_none_is_refused(said):
    with pytest.raises(ValueError, match="must be a file system's folder"):
        executor.serving_folder(said)
