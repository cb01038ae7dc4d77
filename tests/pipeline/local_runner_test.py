"""The runner's exit codes where no stage runs."""

from __future__ import annotations

import fcntl

import pytest
from click.testing import CliRunner
from conftest import write_config

from pipeline.config import SCHEMAS_FOLDER
from pipeline.config_file import load_config, with_overrides
from pipeline.local_runner import FAILED, WRONG_USE, _kept_by_meaning, main, run
from pipeline.run_folder import CONFIG_FILE, keep_configuration, notes_on_last_run


def test_a_wrong_configuration_is_told_and_ends_with_its_own_code(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("name: x\nsearhc: 3\n", encoding="utf-8")
    result = CliRunner().invoke(main, ["--config", str(path)])
    assert result.exit_code == WRONG_USE
    assert "`searhc`: unknown key" in result.output


def test_a_manifest_that_is_not_there_fails_the_first_stage(tmp_path):
    code = run(load_config(write_config(tmp_path, str(tmp_path / "nowhere.jsonl"))))
    assert code in (FAILED, WRONG_USE)


def test_a_missing_encoder_is_told_with_the_command_that_fetches_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("hfmnas_keras.backbones.encoder_folder.encoder_home", lambda: tmp_path)
    assert run(with_overrides(load_config("demo"), {"paths.root": str(tmp_path)})) == WRONG_USE
    assert "Run `hfmnas encoder fetch minilm`" in capsys.readouterr().err


def test_two_runs_do_not_write_the_same_folder(tmp_path, capsys):
    config = load_config(write_config(tmp_path, str(tmp_path / "rows.jsonl")))
    config.root.mkdir(parents=True)
    with open(config.root / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run(config) == FAILED
    assert "Another run is at work" in capsys.readouterr().err


def test_other_data_and_other_classes_are_told_before_a_run(tmp_path):
    config = load_config(write_config(tmp_path, str(tmp_path / "rows.jsonl")))
    config.root.mkdir(parents=True)
    assert notes_on_last_run(config) == []
    keep_configuration(config, config.root)
    assert notes_on_last_run(config) == []
    kept = config.root / CONFIG_FILE
    kept.write_text(kept.read_text(encoding="utf-8").replace("red_disc", "disc"), encoding="utf-8")
    (note,) = notes_on_last_run(config)
    assert "other classes" in note and "no baseline" in note
    keep_configuration(config, config.root)
    kept.write_text(kept.read_text(encoding="utf-8").replace("rows.jsonl", "other.jsonl"), encoding="utf-8")
    (note,) = notes_on_last_run(config)
    assert str(tmp_path / "other.jsonl") in note and "another `name`" in note
    for broken in ("[", "data: 3", "- a", "\udcff"):
        kept.write_text(broken, encoding="utf-8", errors="surrogateescape")
        assert notes_on_last_run(config) == []


def test_a_schema_lies_where_what_it_says_has_it(tmp_path):
    file = tmp_path / "mine.pbtxt"
    text = (SCHEMAS_FOLDER / "demo.pbtxt").read_text(encoding="utf-8")
    places = []
    for content in (text, text + "\n# A comment.\n", text.replace('"text"', '"words"')):
        file.write_text(content, encoding="utf-8")
        places.append(_kept_by_meaning(file, tmp_path / "schemas"))
    assert places[0] == places[1] != places[2]
    file.write_text("feature {", encoding="utf-8")
    with pytest.raises(ValueError, match="mine.pbtxt is not a schema"):
        _kept_by_meaning(file, tmp_path / "schemas")
