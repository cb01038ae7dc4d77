"""The benchmark of serving on a small model that the pipeline's own export wrote."""

import json
import os

import pytest
from click.testing import CliRunner

pytest.importorskip("tensorflow_transform", reason="needs the extra `pipeline`")

from benchmarks.serving_latency import main, newest
from tests import served_model


def test_every_way_to_ask_is_timed(tmp_path):
    classifier = tmp_path / "classifier.keras"
    served_model.tiny_classifier(False).save(classifier)
    output = tmp_path / "folder" / "latency.json"
    arguments = [served_model.exported_model(), "--classifier", classifier, "--calls", 3, "--side", 20]
    result = CliRunner().invoke(main, [*map(str, arguments), "--output", str(output)])
    assert result.exit_code == 0, result.output
    record = json.loads(output.read_text(encoding="utf-8"))
    assert len(record["latency"]) == 3 and record["picture_sides"] == 20
    for name, latency in record["latency"].items():
        assert latency["calls"] == 3 and 0 < latency["p50_ms"] <= latency["p99_ms"]
        assert f"| {name} | {latency['p50_ms']:.2f} ms | {latency['p99_ms']:.2f} ms |" in result.stdout


def test_without_a_model_it_says_where_one_comes_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 2 and "make demo" in result.stderr


def test_the_newest_model_is_taken(tmp_path):
    # By time and not by name.
    for seconds, number in enumerate(("9", "10")):
        (tmp_path / number).mkdir()
        (tmp_path / number / "saved_model.pb").write_bytes(b"")
        os.utime(tmp_path / number / "saved_model.pb", (seconds, seconds))
    assert newest(str(tmp_path), "*/saved_model.pb") == str(tmp_path / "10" / "saved_model.pb")


def test_what_is_no_model_is_told(tmp_path):
    result = CliRunner().invoke(main, [str(tmp_path), "--output", str(tmp_path / "latency.json")])
    assert result.exit_code == 2 and "SavedModel" in result.stderr
    assert not (tmp_path / "latency.json").exists()
