"""The presets of the paper's data sets from their authors' layouts to a gate decision, on made-up files."""

from __future__ import annotations

import json
import pathlib

import pytest
from conftest import run_once

from components.multimodal_example_gen.sources import make_source
from pipeline.config import PRESETS_FOLDER, load_config
from pipeline.local_runner import BLESSED, NOT_BLESSED
from pipeline.run_summary import summarise_run
from tests.layouts.build import BUILDERS, main


@pytest.mark.parametrize("preset", BUILDERS)
def test_the_preset_and_its_quick_one_are_of_the_same_data(preset):
    full, quick = load_config(preset), load_config(f"{preset}_quick")
    assert full.data == quick.data
    assert full.preparation.classes == quick.preparation.classes
    assert full.gate.min_f1_m > quick.gate.min_f1_m


def test_the_data_are_below_the_folder_that_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.setenv("HFMNAS_DATA", str(tmp_path))
    assert load_config("mmimdb").data.data_root == str(tmp_path / "mmimdb")
    monkeypatch.delenv("HFMNAS_DATA")
    monkeypatch.chdir(tmp_path)
    assert load_config("harm_p_3").data.data_root == str(tmp_path / "data" / "harm")
    (tmp_path / "run.yaml").write_text(
        (PRESETS_FOLDER / "mmimdb.yaml").read_text(encoding="utf-8").replace("data:\n", "data:\n  data_root: here\n")
    )
    assert load_config(tmp_path / "run.yaml").data.data_root == str(tmp_path / "here")


def test_data_can_be_made_up_for_every_quick_preset(tmp_path, monkeypatch):
    assert set(BUILDERS) == {path.stem.removesuffix("_quick") for path in PRESETS_FOLDER.glob("*_quick.yaml")}
    monkeypatch.setattr("sys.argv", ["build", "harm_c_2", str(tmp_path)])
    main()
    monkeypatch.setenv("HFMNAS_DATA", str(tmp_path))
    source = make_source(load_config("harm_c_2").data.source, load_config("harm_c_2").source_settings())
    assert len(source.read().rows) == 240


@pytest.mark.long
@pytest.mark.parametrize("preset", BUILDERS)
def test_the_quick_preset_ends_with_a_gate_decision(preset, tmp_path, monkeypatch):
    BUILDERS[preset](tmp_path / "data")
    monkeypatch.setenv("HFMNAS_DATA", str(tmp_path / "data"))
    # Runs write below the current folder.
    monkeypatch.chdir(tmp_path)
    # A path, so that a run is as a user's: the preset itself, unedited.
    finished = run_once(PRESETS_FOLDER / f"{preset}_quick.yaml")
    assert finished.code in (BLESSED, NOT_BLESSED), finished.text
    summary = summarise_run(finished.config.metadata_path)
    evaluation = summary.evaluation
    assert evaluation["gate"]["blessed"] == (finished.code == BLESSED)
    assert tuple(evaluation["class_names"]) == finished.config.preparation.classes
    assert summary.is_serving_checked
    report = pathlib.Path(summary.report_file)
    ingest = json.loads((report.parent / "summary.json").read_text(encoding="utf-8"))["ingest"]
    assert ingest["source"] == finished.config.data.source and ingest["published_rows"]
    assert evaluation["examples"] == ingest["rows"]["test"]
    assert "Table I" in report.read_text(encoding="utf-8")
    print(preset, finished.text.strip().splitlines()[-1], ingest["rows"])
