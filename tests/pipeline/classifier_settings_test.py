"""A configuration that says what a fitted classifier's settings are."""

from __future__ import annotations

import dataclasses
import json

import pytest
import yaml

from hfmnas_keras.estimator.presets import fit_settings
from hfmnas_keras.estimator.record import RECORD_FILE
from hfmnas_keras.genotype.random_genotype import random_genotype
from hfmnas_keras.settings.execution import without_execution
from hfmnas_keras.settings.race import RaceSettings
from pipeline.classifier_settings import classifier_columns, like_classifier
from pipeline.config_file import load_config
from pipeline.manifest_config import to_yaml
from pipeline.manifest_rules import Choice

CHANGES = {
    "text": {"kind": None, "embedding_dim": 17, "hidden_units": (8, 9)},
    "image": {"kind": "encoder", "encoder": "efficientnet_lite0"},
    "image_size": (96, 64),
    "space": {"num_nodes": 2, "kept_nodes": 1},
    "search": {"channels": 24, "race": RaceSettings(candidates=5, rungs=(1,))},
    "final_model": {"ensemble": 2},
    "training": {"label_smoothing": 0.05, "device_bytes": 7},
    "mitigation": {"correlation": False},
}


@pytest.fixture
def classifier(tmp_path):
    folder = tmp_path / "classifier"
    folder.mkdir()
    settings = fit_settings("fast", 100, 1.0, 7, CHANGES)
    record = {
        "version": 1,
        "columns": {"text": "title", "image": "image"},
        "label_columns": ["kind"],
        "settings": dataclasses.asdict(settings),
    }
    (folder / RECORD_FILE).write_text(json.dumps(record), encoding="utf-8")
    random_genotype(settings.space, settings.fusion, 0).save(folder / "genotype.json")
    return folder, settings


def test_a_run_has_the_settings_of_the_classifier(classifier, tmp_path):
    folder, settings = classifier
    choices = [
        Choice("name", "mine"),
        Choice("data.source", "manifest"),
        Choice("data.manifest", "rows.jsonl"),
        Choice("preparation.classes", ["cat", "dog"]),
        Choice("preparation.image_size", [128, 128], "something"),
        Choice("backbones.text.kind", "encoder"),
        Choice("search.channels", 64),
        Choice("training.max_epochs", 99),
        Choice("gate.min_f1_m", 0.4),
    ]
    (tmp_path / "my.yaml").write_text(to_yaml("rows.jsonl", like_classifier(choices, folder)), encoding="utf-8")
    config = load_config(tmp_path / "my.yaml")
    for section in ("pretraining", "fusion", "mitigation", "space", "search", "final_model", "training"):
        assert without_execution(getattr(config, section)) == without_execution(getattr(settings, section)), section
    assert config.backbones.text == settings.text and config.backbones.image == settings.image
    assert config.preparation.image_size == (96, 64) and config.gate.min_f1_m == 0.4
    assert config.genotype == str(folder / "genotype.json")
    # How it is computed here is not how it was computed there.
    assert config.training.device_bytes != 7
    said = yaml.safe_load((tmp_path / "my.yaml").read_text(encoding="utf-8"))
    assert "fusion" not in said and said["mitigation"] == {"correlation": False}


def test_columns_of_other_names_are_known(classifier):
    assert classifier_columns(classifier[0]) == {"text": "title", "label": "kind"}


def test_what_is_no_classifier_is_told(tmp_path):
    with pytest.raises(ValueError, match="There is no fitted classifier"):
        like_classifier([], tmp_path)
