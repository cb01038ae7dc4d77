"""The model that serves is found, copied, and taken for none where there is none."""

from tfx import v1 as tfx

from components.evaluator.executor import _without_empty_baseline
from components.served_model.executor import VERSION_PROPERTY, Executor


def _push(folder, version, content):
    path = folder / version
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_text(content)
    (path / "variables" / "variables.index").write_text("index")


def _served(destination, folder):
    model = tfx.types.standard_artifacts.Model()
    model.uri = str(folder)
    Executor().Do({}, {"model": [model]}, {"push_destination": str(destination)})
    return model


def test_the_newest_version_is_copied_whatever_else_lies_there(tmp_path):
    destination = tmp_path / "serving"
    _push(destination, "9", "old")
    _push(destination, "10", "new")
    _push(destination, ".unfinished-11", "half")
    model = _served(destination, tmp_path / "model")
    assert model.get_string_custom_property(VERSION_PROPERTY) == "10"
    assert (tmp_path / "model" / "Format-Serving" / "saved_model.pb").read_text() == "new"
    assert (tmp_path / "model" / "Format-Serving" / "variables" / "variables.index").is_file()
    inputs = {"model": [], "baseline_model": [model]}
    assert _without_empty_baseline(inputs) == inputs


def test_where_nothing_serves_there_is_no_baseline(tmp_path):
    model = _served(tmp_path / "nothing", tmp_path / "model")
    assert model.get_string_custom_property(VERSION_PROPERTY) == ""
    assert _without_empty_baseline({"model": [], "baseline_model": [model]}) == {"model": []}
