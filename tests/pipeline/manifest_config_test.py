"""A configuration made from a manifest fits it."""

from __future__ import annotations

import json

from click.testing import CliRunner
from coloured_shapes import CLASSES, write_shapes

from pipeline.config import load_config
from pipeline.manifest_config import main


def test_classes_and_lengths_are_filled_in(tmp_path):
    manifest = write_shapes(tmp_path, rows=30)
    result = CliRunner().invoke(main, [manifest, "-o", str(tmp_path / "my.yaml")])
    assert result.exit_code == 0, result.output
    assert "30 rows, 3 classes, single-label" in result.output
    config = load_config(tmp_path / "my.yaml")
    assert config.name == "shapes"
    assert config.preparation.classes == CLASSES
    assert not config.preparation.multi_label
    assert config.data.manifest == manifest


def test_several_labels_make_it_multi_label(tmp_path):
    manifest = tmp_path / "Two Labels.jsonl"
    rows = [
        {"id": str(row), "text": "some words", "image": "x.png", "labels": labels}
        for row, labels in enumerate([["a", "b"], ["b"], ["c"]])
    ]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = CliRunner().invoke(main, [str(manifest), "-o", str(tmp_path / "my.yaml")])
    assert result.exit_code == 0, result.output
    config = load_config(tmp_path / "my.yaml")
    assert config.preparation.multi_label and config.name == "two-labels"


def test_an_existing_file_is_kept(tmp_path):
    manifest = write_shapes(tmp_path, rows=9)
    (tmp_path / "my.yaml").write_text("mine", encoding="utf-8")
    result = CliRunner().invoke(main, [manifest, "-o", str(tmp_path / "my.yaml")])
    assert result.exit_code == 2 and "--force" in result.output
    assert (tmp_path / "my.yaml").read_text(encoding="utf-8") == "mine"


def test_a_missing_manifest_is_told(tmp_path):
    result = CliRunner().invoke(main, [str(tmp_path / "none.jsonl"), "-o", str(tmp_path / "my.yaml")])
    assert result.exit_code == 2 and "no manifest" in result.output
