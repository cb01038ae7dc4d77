"""The road with several labels a row, and with backbones that train to the end."""

from __future__ import annotations

import json
import pathlib

import pytest
import tensorflow as tf
from coloured_shapes import CLASSES, write_shapes
from conftest import TINY, run_once, write_config
from sklearn.metrics import f1_score

from components.evaluator.evaluation import read_evaluation
from pipeline.local_runner import BLESSED
from pipeline.run_summary import summarise_run

LABELS = [*CLASSES, "nice"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run on rows that are of a shape, and nice or not: about half have two labels."""
    folder = tmp_path_factory.mktemp("multi_label")
    manifest = pathlib.Path(write_shapes(folder / "data"))
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["labels"] = [row.pop("label"), *(["nice"] if "nice" in row["text"].split() else [])]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = write_config(
        folder,
        str(manifest),
        preparation={**TINY["preparation"], "classes": LABELS, "multi_label": True},
        training={**TINY["training"], "max_epochs": 6, "unfreeze_backbones": True, "backbone_rate": 1.0},
        gate={"min_f1_m": 0.5, "above_reference": False},
    )
    run = run_once(config)
    assert run.code == BLESSED, run.text
    return run, summarise_run(run.config.metadata_path), manifest, rows


def test_the_gate_measured_what_the_pushed_model_answers(finished):
    """Macro F1 by scikit-learn, on the answers of the model that serves, is the Evaluator's."""
    _, summary, manifest, rows = finished
    test_rows = [row for row in rows if row["split"] == "test"]
    answers = tf.saved_model.load(summary.pushed_path).signatures["serve_json"](
        image_bytes=tf.constant([(manifest.parent / row["image"]).read_bytes() for row in test_rows]),
        text=tf.constant([row["text"] for row in test_rows]),
    )
    truth = [[label in row["labels"] for label in LABELS] for row in test_rows]
    # Empty names fill the rows up.
    predicted = [[label.encode() in given for label in LABELS] for given in answers["labels"].numpy()]
    expected = f1_score(truth, predicted, average="macro", zero_division=0)
    assert summary.f1_m()["fused"] == pytest.approx(expected, abs=1e-6)
    # So are the heads', each with the thresholds that dev chose for it.
    backbones = json.loads(pathlib.Path(summary.uris["BackboneTrainer.backbones"], "backbones.json").read_text())
    trained = json.loads(pathlib.Path(summary.uris["Trainer.model_run"], "training.json").read_text())
    for modality, record in backbones["modalities"].items():
        predicted = [[label.encode() in given for label in LABELS] for given in answers[f"{modality}_labels"].numpy()]
        expected = f1_score(truth, predicted, average="macro", zero_division=0)
        assert summary.f1_m()[f"{modality} head"] == pytest.approx(expected, abs=1e-6)
        assert trained["head_thresholds"][modality] == record["thresholds"]["per_class"]
    # A binary opinion for each label.
    assert answers["conflict"].shape == (len(test_rows), len(LABELS))


def test_evaluation_and_report_know_of_several_labels(finished):
    _, summary, _, rows = finished
    evaluation = read_evaluation(summary.uris["Evaluator.evaluation"])
    assert evaluation["multi_label"]
    supports = {name: row["support"] for name, row in evaluation["by_class"]["probabilities"].items()}
    assert supports == {
        label: sum(label in row["labels"] for row in rows if row["split"] == "test") for label in LABELS
    }
    assert "Confusion" not in pathlib.Path(summary.report_file).read_text(encoding="utf-8")
