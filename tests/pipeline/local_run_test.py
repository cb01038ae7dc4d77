"""The whole road on a tiny data set: what runs, what is pushed, what is refused."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from coloured_shapes import LACKING, write_shapes
from conftest import run_once, write_config

from hfmnas_keras.data.feature_files import read_feature_set
from hfmnas_keras.genotype.load_genotype import load_genotype
from pipeline.definition import FEATURES_STAGE
from pipeline.local_runner import BLESSED, FAILED, NOT_BLESSED
from pipeline.run_summary import summarise_run
from pipeline.studies.study_data import prepare_study_data, study_data_of

ROOT = pathlib.Path(__file__).parent.parent.parent
STAGES = {
    "MultimodalExampleGen",
    "StatisticsGen",
    "ImportSchemaGen",
    "ExampleValidator",
    "Transform",
    "BackboneTrainer",
    "FeatureExtractor",
    "LinearReferenceTrainer",
    "ArchitectureSearch",
    "Trainer",
    "LatestBlessedModel",
    "Evaluator",
    "ServingCheck",
    "Pusher",
    "RunReport",
}


@pytest.fixture(scope="module")
def first(finished_run):
    """Code, shown text and summary of the first run."""
    assert finished_run.code == BLESSED, finished_run.text
    return finished_run, summarise_run(finished_run.config.metadata_path)


@pytest.fixture(scope="module")
def again(first):
    """The second run of the same."""
    second = run_once(first[0].config_path)
    assert second.code == BLESSED, second.text
    return second, summarise_run(second.config.metadata_path)


def run_changed(first, name, pushed_elsewhere=True, **changes):
    """The first run with changes, whole values or keys of a part; where the cache serves, from there."""
    folder = first[0].config_path.parent
    content = yaml.safe_load(first[0].config_path.read_text(encoding="utf-8"))
    if pushed_elsewhere:
        content["serving"] = {**content["serving"], "push_destination": str(folder / name)}
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return run_once(path)


def test_each_stage_ran_once(first):
    stages = first[1].stages
    assert {stage.name for stage in stages} == STAGES
    assert len(stages) == len(STAGES)
    assert all(stage.state == "complete" for stage in stages)


def test_the_summary_tells_scores_gate_times_and_places(first):
    finished, summary = first
    last = finished.text.strip().splitlines()[-1]
    assert last.startswith("BLESSED and pushed: macro F1")
    assert set(summary.f1_m()) == {"text head", "image head", "fused"}
    assert summary.f1_m()["fused"] >= 0.8
    for words in (
        "ArchitectureSearch",
        "text head",
        "image head",
        "Gate: bar 0.800",
        "both together",
        "SavedModel: ",
        "Report: ",
    ):
        assert words in finished.text
    assert "INFO" not in finished.text and "WARNING" not in finished.text


def test_one_version_is_pushed_and_answers(first):
    (version,) = pathlib.Path(first[0].config.push_destination).glob("[0-9]*")
    assert str(version) == first[1].pushed_path
    assert (version / "assets.extra" / "tf_serving_warmup_requests").is_file()
    manifest = pathlib.Path(first[0].config.data.manifest)
    row = json.loads(manifest.read_text(encoding="utf-8").splitlines()[-1])
    served = tf.saved_model.load(str(version)).signatures["serve_json"]
    answer = served(
        image_bytes=tf.constant([(manifest.parent / row["image"]).read_bytes()]), text=tf.constant([row["text"]])
    )
    names = [name.decode() for name in answer["class_names"][0].numpy()]
    assert names[int(tf.argmax(answer["probabilities"][0]))] == row["label"]


def test_the_pushed_model_abstains_where_its_modalities_contradict_each_other(first):
    (version,) = pathlib.Path(first[0].config.push_destination).glob("[0-9]*")
    manifest = pathlib.Path(first[0].config.data.manifest)
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()[-30:]]
    images = [(manifest.parent / row["image"]).read_bytes() for row in rows] * 2
    # Each picture with its own text, and with that of a row of another class.
    texts = [row["text"] for row in rows]
    texts += [next(other["text"] for other in rows if other["label"] != row["label"]) for row in rows]
    served = tf.saved_model.load(str(version)).signatures["serve_json"]
    answer = {
        name: value.numpy() for name, value in served(image_bytes=tf.constant(images), text=tf.constant(texts)).items()
    }
    text, image = (answer[f"{modality}_belief"].astype("float64") for modality in ("text", "image"))
    # Dempster: what the one believes of a class times what the other believes of all other classes.
    conflict = text.sum(axis=1) * image.sum(axis=1) - (text * image).sum(axis=1)
    np.testing.assert_allclose(answer["conflict"], conflict, atol=1e-5)
    doubts = [1 - belief.sum(axis=1) for belief in (text, image)]
    np.testing.assert_allclose(answer["uncertainty"], doubts[0] * doubts[1] / (1 - conflict), atol=1e-5)
    assert list(answer["abstain"]) == [bool(value > 0.2) for value in answer["conflict"]]
    own, other = answer["abstain"][: len(rows)], answer["abstain"][len(rows) :]
    assert other.sum() > own.sum()


def test_the_report_and_the_genotype_are_written(first):
    report = pathlib.Path(first[1].report_file)
    assert "<html" in report.read_text(encoding="utf-8")
    assert (report.parent / "summary.json").is_file()
    (genotype,) = pathlib.Path(first[0].config.pipeline_root).glob("ArchitectureSearch/genotype/*/genotype.json")
    assert json.loads(genotype.read_text(encoding="utf-8"))["cells"]
    (search,) = pathlib.Path(first[0].config.pipeline_root).glob("ArchitectureSearch/search_report/*/search.json")
    heads = json.loads(search.read_text(encoding="utf-8"))["unimodal_heads"]
    pretrained = json.loads((report.parent / "summary.json").read_text(encoding="utf-8"))["backbones"]["modalities"]
    assert set(heads) == {"text", "image"}
    for modality, head in heads.items():
        assert 0 < head["dev_macro_f1"] <= 1
        assert head == {key: pretrained[modality][key] for key in head}
    training = json.loads((report.parent / "summary.json").read_text(encoding="utf-8"))["training"]
    # The fusion network is a part of the model, which has backbones beside it.
    for count in ("parameters", "flops"):
        assert 0 < training["fusion"][count] < training[count]


def test_rows_without_a_modality_are_kept_and_counted_and_have_mean_features(first):
    summary = json.loads(pathlib.Path(first[1].report_file).with_name("summary.json").read_text(encoding="utf-8"))
    assert summary["ingest"]["rows"] == {"train": 84, "dev": 18, "test": 18} and not summary["ingest"]["skipped"]
    assert summary["ingest"]["observed"] == {"without a picture": 3, "without a text": 3}
    (folder,) = pathlib.Path(first[0].config.pipeline_root).glob("FeatureExtractor/features/*")
    train, dev = (read_feature_set(folder / f"Split-{split}") for split in ("train", "dev"))
    for modality, numbers in LACKING.items():
        is_lacking = np.isin(train.ids, [f"row-{number}" for number in numbers])
        for tap in ("low", "high"):
            features = train.features[f"{modality}_{tap}"]
            mean = features[~is_lacking].mean(axis=0)
            np.testing.assert_allclose(features[is_lacking], np.stack([mean, mean]), atol=1e-5)
            (of_dev,) = dev.features[f"{modality}_{tap}"][dev.ids == f"row-{numbers[-1]}"]
            np.testing.assert_allclose(of_dev, mean, atol=1e-5)
    page = pathlib.Path(first[1].report_file).read_text(encoding="utf-8")
    assert "When a modality is missing" in page and "without a text" in page


def test_features_leave_the_test_split_alone(first):
    root = pathlib.Path(first[0].config.pipeline_root)
    for pattern in ("FeatureExtractor/features/*/Split-*", "Transform/transformed_examples/*/Split-*"):
        assert {path.name for path in root.glob(pattern)} == {"Split-train", "Split-dev"}


def test_checkpoints_are_removed_after_success(first):
    root = pathlib.Path(first[0].config.checkpoint_root)
    assert not root.exists() or not [path for path in root.rglob("*") if path.is_file()]


def test_a_second_run_comes_from_the_cache_and_pushes_nothing_new(first, again):
    ran = {stage.name for stage in again[1].stages if stage.state == "complete"}
    # A model is not compared with itself: the gate's word of the first run stands.
    assert ran <= {"LatestBlessedModel"}
    assert "from cache" in again[0].text
    assert not again[1].evaluation["gate"]["compared"]
    assert len(list(pathlib.Path(first[0].config.push_destination).glob("[0-9]*"))) == 1


def test_another_model_is_compared_with_the_blessed_one_and_a_bar_above_it_is_not_reached(first, again):
    # One epoch at a small rate leaves a worse model; the bar alone would let it pass.
    training = {"max_epochs": 1, "learning_rate": 1e-5}
    worse = run_changed(first, "higher", pushed_elsewhere=False, training=training, gate={"min_f1_m": 0.0})
    summary = summarise_run(first[0].config.metadata_path)
    assert summary.evaluation["gate"]["compared"]
    baseline = summary.evaluation["baseline"]["probabilities"]["f1_m"]
    assert baseline == pytest.approx(first[1].f1_m()["fused"])
    assert worse.code == (BLESSED if summary.f1_m()["fused"] >= baseline else NOT_BLESSED)
    assert summary.f1_m()["fused"] < baseline
    assert len(list(pathlib.Path(first[0].config.push_destination).glob("[0-9]*"))) == 1


def test_a_model_below_a_linear_one_is_refused_in_one_sentence(first, again):
    linear = first[1].references()
    assert set(linear) == {"text", "image", "both together", "each, averaged"}
    # Hardly trained, and below what any classifier of the words reaches.
    refused = run_changed(
        first,
        "outdone",
        training={"max_epochs": 1, "learning_rate": 1e-6},
        gate={"min_f1_m": 0.0, "above_reference": True},
    )
    assert refused.code == NOT_BLESSED, refused.text
    summary = summarise_run(first[0].config.metadata_path)
    states = {stage.name: stage.state for stage in summary.stages}
    assert states["LinearReferenceTrainer"] == "cached" and states["Evaluator"] == "complete"
    fused = summary.f1_m()["fused"]
    heads = {f"its own {name}": score for name, score in summary.f1_m().items() if name != "fused"}
    simpler = {**{f"a linear model on {name} alone": linear[name] for name in ("text", "image")}, **heads}
    best = max(simpler, key=simpler.get)
    assert fused < simpler[best]
    sentence = f"Macro F1 is {fused:.4f}, below the {simpler[best]:.4f} of {best}."
    assert sentence in refused.text and sentence in summary.evaluation["gate"]["reasons"]
    assert sentence in pathlib.Path(summary.report_file).read_text(encoding="utf-8")
    assert not summary.is_blessed and not summary.is_pushed


def test_an_anomaly_stops_the_run(first, again):
    folder = first[0].config_path.parent
    schema = (ROOT / "schemas" / "manifest.pbtxt").read_text(encoding="utf-8")
    assert 'name: "labels"' in schema
    # A domain that does not know the class of the discs.
    (folder / "strict.pbtxt").write_text(
        schema.replace('name: "labels"', 'name: "labels" domain: "classes"')
        + 'string_domain { name: "classes" value: "blue_square" value: "green_stripes" }\n',
        encoding="utf-8",
    )
    stopped = run_changed(first, "anomaly", data={"schema_file": "strict.pbtxt"})
    assert stopped.code == FAILED
    assert "ExampleValidator failed" in stopped.text
    assert "labels" in stopped.text and "red_disc" in stopped.text
    assert "Transform ..." not in stopped.text


def test_a_model_of_shuffled_labels_is_neither_blessed_nor_pushed(tmp_path):
    refused = run_once(write_config(tmp_path, write_shapes(tmp_path / "data", shuffled=True)))
    summary = summarise_run(refused.config.metadata_path)
    assert refused.code == NOT_BLESSED, refused.text
    assert summary.f1_m()["fused"] < 0.8
    assert not summary.is_blessed and not summary.is_pushed
    destination = pathlib.Path(refused.config.push_destination)
    assert not destination.exists() or not list(destination.iterdir())
    assert refused.text.strip().splitlines()[-1].startswith("NOT BLESSED, not pushed")


def test_the_tfx_command_creates_compiles_and_runs(first, again, tmp_path):
    binaries = pathlib.Path(sys.executable).parent
    environment = {
        **os.environ,
        # As in an activated environment: the command calls pip by name.
        "PATH": os.pathsep.join([str(binaries), os.environ["PATH"]]),
        "HOME": str(tmp_path),
        "HFMNAS_CONFIG": str(first[0].config_path),
        "PYTHONPATH": str(ROOT),
    }
    tfx = [str(binaries / "tfx")]
    runner = f"--pipeline_path={ROOT / 'pipeline' / 'local_runner.py'}"
    for arguments, told in (
        (["pipeline", "create", "--engine=local", runner], "created successfully"),
        (["pipeline", "compile", "--engine=local", runner], "compiled successfully"),
        (["run", "create", "--engine=local", "--pipeline_name=shapes"], "BLESSED and pushed"),
    ):
        process = subprocess.run(
            tfx + arguments, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=540
        )
        assert process.returncode == 0, process.stderr
        assert told in process.stdout


def test_a_plain_model_takes_the_same_road_without_a_search(first, again):
    """Last, as its model may be blessed: the features of the first run, then its own training, gate and report."""
    plain = run_changed(first, "plain", model="central_net")
    summary = summarise_run(plain.config.metadata_path)
    assert plain.code in (BLESSED, NOT_BLESSED), plain.text
    assert {stage.name for stage in summary.stages} == STAGES - {"ArchitectureSearch"}
    states = {stage.name: stage.state for stage in summary.stages}
    assert states["FeatureExtractor"] == "cached" and states["Trainer"] == "complete"
    assert summary.is_serving_checked and summary.f1_m()["fused"] > 0.5
    report = pathlib.Path(summary.report_file).read_text(encoding="utf-8")
    assert "central_net" in report and "<h2>Genotype</h2>" not in report


def test_bm_nas_takes_the_same_road_with_a_search_of_its_own(first, again):
    searched = run_changed(first, "bm_nas", model="bm_nas")
    summary = summarise_run(searched.config.metadata_path)
    assert searched.code in (BLESSED, NOT_BLESSED), searched.text
    states = {stage.name: stage.state for stage in summary.stages}
    assert set(states) == STAGES
    # The model is all that has changed.
    assert states["FeatureExtractor"] == "cached"
    assert states["ArchitectureSearch"] == states["Trainer"] == "complete"
    genotype = load_genotype(pathlib.Path(summary.uris["ArchitectureSearch.genotype"]) / "genotype.json")
    assert genotype.model == "bm_nas" and len(genotype.cells) == 2
    assert summary.is_serving_checked and summary.f1_m()["fused"] > 0.5
    report = pathlib.Path(summary.report_file).read_text(encoding="utf-8")
    assert "Model <code>bm_nas</code>" in report and "cell 1: softmax of gamma" in report


def test_the_trainer_trains_with_what_the_tuner_chose_on_dev(first, again):
    tuned = run_changed(
        first,
        "tuned",
        # The configuration's own rate learns nothing.
        training={"learning_rate": 1e-6},
        tuning={"choices": {"training.learning_rate": [0.005]}, "trials": 5},
    )
    summary = summarise_run(tuned.config.metadata_path)
    assert tuned.code in (BLESSED, NOT_BLESSED), tuned.text
    states = {stage.name: stage.state for stage in summary.stages}
    assert states["ArchitectureSearch"] == "cached" and states["Tuner"] == states["Trainer"] == "complete"
    written = json.loads((pathlib.Path(summary.report_file).parent / "summary.json").read_text(encoding="utf-8"))
    assert [trial["training.learning_rate"] for trial in written["tuning"]] == [0.005, 1e-6]
    assert written["training"]["settings"]["learning_rate"] == 0.005
    # The same training, so the same dev score as in the trial.
    assert written["training"]["dev_macro_f1"] == pytest.approx(written["tuning"][0]["score"], abs=1e-12)
    assert "<h2>Tuning</h2>" in pathlib.Path(summary.report_file).read_text(encoding="utf-8")


def test_a_study_takes_the_features_from_the_cache_and_makes_those_of_test(first, again, tmp_path):
    config = first[0].config
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        data = prepare_study_data(config, tmp_path)
    summary = summarise_run(config.metadata_path)
    assert [stage.name for stage in summary.stages][-1] == FEATURES_STAGE and len(summary.stages) == 7
    assert {stage.state for stage in summary.stages} == {"cached"}
    assert "BLESSED" not in shown.getvalue()
    # The model that the whole run trained says of these features what it says of the pictures and words themselves.
    test = data.read("test")
    classifier = keras.saving.load_model(f"{first[1].uris['Trainer.model']}/classifier.keras", compile=False)
    fusion_network = classifier.get_layer("searched_model")
    logits = fusion_network({tensor.name: test.inputs()[tensor.name] for tensor in fusion_network.inputs})
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    manifest = pathlib.Path(config.data.manifest)
    rows = {row["id"]: row for row in map(json.loads, manifest.read_text(encoding="utf-8").splitlines())}
    assert sorted(test.ids) == sorted(name for name, row in rows.items() if row["split"] == "test")
    served = tf.saved_model.load(first[1].pushed_path).signatures["serve_json"](
        image_bytes=tf.constant([(manifest.parent / rows[name]["image"]).read_bytes() for name in test.ids]),
        text=tf.constant([rows[name]["text"] for name in test.ids]),
    )
    np.testing.assert_allclose(probabilities, served["probabilities"].numpy(), atol=1e-4)
    assert [config.preparation.classes[label] for label in test.labels] == [rows[name]["label"] for name in test.ids]
    # Made once, and the same data have the same digest.
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert study_data_of(summary.uris, data.num_outputs, tmp_path) == data
    assert {path: path.stat().st_mtime_ns for path in written} == written
