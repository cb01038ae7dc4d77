"""The presets of the paper's data sets from their authors' layouts to a gate decision, on made-up files."""

from __future__ import annotations

import json
import pathlib

import keras
import numpy as np
import pytest
import yaml
from conftest import run_once

from components.multimodal_example_gen.sources.registry import make_source
from hfmnas_keras.pretraining.extraction import load_backbone
from pipeline.config_file import PRESETS_FOLDER, load_config
from pipeline.local_runner import BLESSED, NOT_BLESSED
from pipeline.run_summary import summarise_run
from tests.layouts import ntu_folder
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


@pytest.mark.long
def test_backbones_of_clips_train_along_to_a_gate_decision(tmp_path, monkeypatch):
    """As `ntu` says; its quick preset leaves them frozen."""
    content = yaml.safe_load((PRESETS_FOLDER / "ntu_quick.yaml").read_text(encoding="utf-8"))
    content["data"]["data_root"] = str(ntu_folder.write_folder(tmp_path / "ntu", number=80))
    # The four actions that the clips are of by default.
    names = content["preparation"]["classes"]
    content["preparation"]["classes"] = [names[action - 1] for action in ntu_folder.NUMBERS]
    content["pretraining"].update(max_epochs=1, folds=0)
    content["training"].update(max_epochs=1, unfreeze_backbones=True)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    finished = run_once(tmp_path / "run.yaml")
    assert finished.code in (BLESSED, NOT_BLESSED), finished.text
    summary = summarise_run(finished.config.metadata_path)
    assert summary.is_serving_checked and summary.evaluation["gate"]["blessed"] == (finished.code == BLESSED)
    (classifier,) = pathlib.Path(finished.config.pipeline_root).glob("Trainer/**/classifier.keras")
    trained = keras.saving.load_model(classifier, compile=False)
    for modality in ("skeleton", "video"):
        backbone = load_backbone(summary.uris["BackboneTrainer.backbones"], modality)
        weights = zip(backbone.trainable_weights, trained.get_layer(backbone.name).trainable_weights, strict=True)
        changed = [not np.array_equal(before, after) for before, after in weights]
        assert np.mean(changed) > 0.5
