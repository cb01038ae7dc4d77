"""The check itself, with real models, good and broken.

What the client looks at is tested in this process; that its own process works and is a stranger, by a few real ones.
"""

import base64
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tfx import v1 as tfx

from components.artifact_types.files import SERVING_CHECK_FILE
from components.serving_check import client, executor
from tests import served_clips, served_model


def _records(multi_label, count=3):
    return [served_model.serialize(row) for row in served_model.raw_rows(multi_label)[:count]]


def _run_executor(folder, model_path, multi_label=False):
    """Runs the executor on artifacts as the pipeline lays them out; returns the blessing and its report."""
    serving_folder = folder / "model" / "Format-Serving"
    shutil.copytree(model_path, serving_folder)
    split = folder / "examples" / "Split-dev"
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "data-00000-of-00001.gz"), options="GZIP") as writer:
        for record in _records(multi_label, count=8):
            writer.write(record)
    model, examples = tfx.types.standard_artifacts.Model(), tfx.types.standard_artifacts.Examples()
    model.uri, examples.uri = str(folder / "model"), str(folder / "examples")
    examples.split_names = json.dumps(["train", "dev", "test"])
    blessing = tfx.types.standard_artifacts.InfraBlessing()
    blessing.uri = str(folder / "blessing")
    executor.Executor().Do(
        {"model": [model], "examples": [examples]},
        {"blessing": [blessing]},
        {
            "class_names": json.dumps(served_model.CLASS_NAMES),
            "multi_label": int(multi_label),
            "modalities": json.dumps(["text", "image"]),
            "split": "dev",
            "num_examples": 3,
        },
    )
    return blessing, json.loads((folder / "blessing" / SERVING_CHECK_FILE).read_text(encoding="utf-8"))


def _check_here(path, multi_label=False):
    return client.check_model(
        {
            "model": path,
            "class_names": served_model.CLASS_NAMES,
            "multi_label": multi_label,
            "modalities": ["text", "image"],
            "examples": [base64.b64encode(record).decode("ascii") for record in _records(multi_label)],
        }
    )


def test_good_model_is_blessed(tmp_path):
    blessing, report = _run_executor(tmp_path, served_model.exported_model())
    assert report["reasons"] == []
    assert report["blessed"] is True
    assert blessing.get_int_custom_property("blessed") == 1
    assert sorted(os.listdir(blessing.uri)) == ["INFRA_BLESSED", "serving_check.json"]
    assert {call["signature"] for call in report["calls"]} == {"serving_default", "serve_json", "transform_features"}
    batch = report["calls"][0]
    assert batch["outputs"]["probabilities"] == {"dtype": "float32", "shape": [3, 3]}
    assert batch["outputs"]["class_names"] == {"dtype": "string", "shape": [3, 3]}
    assert batch["outputs"]["abstain"] == {"dtype": "bool", "shape": [3]}
    assert batch["inputs"] == {"examples": {"dtype": "string", "shape": [3]}}
    assert {call["request"] for call in report["calls"]} >= {"a JPEG picture", "an empty text", "example 2 alone"}


def test_good_multi_label_model_has_nothing_against_it():
    result = _check_here(served_model.exported_model(multi_label=True), multi_label=True)
    assert result["reasons"] == []
    assert result["calls"][-1]["signature"] == "transform_features"
    assert result["calls"][-1]["outputs"] == {"label": {"dtype": "float32", "shape": [3, 3]}}


def test_model_with_nan_weights_is_refused():
    reasons = _check_here(served_model.exported_model(scale=np.nan))["reasons"]
    assert "Output `probabilities` is not finite (serving_default, a batch)." in reasons
    assert "Output `probabilities` must agree between serving_default and serve_json: both are not numbers." in reasons


def _save(path, signatures):
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)
    return str(path)


def _strings(name):
    return tf.TensorSpec([None], tf.string, name=name)


def _fake_signatures(answer):
    """Signatures with the right names that call `answer(batch size, which signature)`."""

    @tf.function(input_signature=[_strings("examples")])
    def serving_default(examples):
        return answer(tf.shape(examples)[0], "serving_default")

    @tf.function(input_signature=[_strings("image_bytes"), _strings("text")])
    def serve_json(image_bytes, text):
        return answer(tf.shape(text + image_bytes)[0], "serve_json")

    @tf.function(input_signature=[_strings("examples")])
    def transform_features(examples):
        return {"label": tf.zeros([tf.shape(examples)[0], 1], tf.int64)}

    return {"serving_default": serving_default, "serve_json": serve_json, "transform_features": transform_features}


def _reasons_of_process(path):
    return executor.check_serving(path, _records(False), served_model.CLASS_NAMES, False)["reasons"]


def test_model_without_a_signature_is_not_blessed(tmp_path):
    signatures = _fake_signatures(lambda batch, name: {"probabilities": tf.ones([batch, 3]) / 3})
    del signatures["serve_json"]
    blessing, report = _run_executor(tmp_path, _save(tmp_path / "saved", signatures))
    assert report["blessed"] is False
    assert blessing.get_int_custom_property("blessed") == 0
    assert sorted(os.listdir(blessing.uri)) == ["INFRA_NOT_BLESSED", "serving_check.json"]
    (reason,) = report["reasons"]
    assert reason == "Signature `serve_json` is missing. The model has ['serving_default', 'transform_features']."


def test_every_difference_from_the_contract_is_a_reason(tmp_path):
    def answer(batch, name):
        # The class names are in another order, the two signatures disagree, and so do batches of one and of many.
        first = tf.where(batch == 1, 0.5, 0.4) if name == "serving_default" else tf.constant(0.3)
        row = tf.stack([first, 0.2, 0.8 - first])
        names = tf.constant(["food", "animal", "größe"])
        probabilities = tf.tile(row[tf.newaxis], [batch, 1])
        return {
            "probabilities": probabilities,
            "class_names": tf.tile(names[None], [batch, 1]),
            "abstain": tf.fill([batch], False),
            "error": tf.fill([batch], ""),
        }

    reasons = " ".join(_check_here(_save(tmp_path / "model", _fake_signatures(answer)))["reasons"])
    assert "Output `class_names` must be ['animal', 'food', 'größe']" in reasons
    assert "must agree between serving_default and serve_json: they differ by 0.1" in reasons
    assert "must agree between example 1 in the batch and alone: they differ by 0.1" in reasons
    assert "`transform_features` gives ['animal'] for an example of ['food']." in reasons
    assert "`error` must be told of the last row, which has no picture, alone." in reasons


def test_probabilities_that_do_not_sum_to_one_and_a_missing_output(tmp_path):
    def answer(batch, name):
        outputs = {"probabilities": tf.fill([batch, 3], 0.9), "abstain": tf.fill([batch], False)}
        outputs["error"] = tf.fill([batch], "")
        if name == "serving_default":
            names = tf.constant([served_model.CLASS_NAMES])
            outputs["class_names"] = tf.tile(names, [batch, 1])
        return outputs

    reasons = " ".join(_check_here(_save(tmp_path / "model", _fake_signatures(answer)))["reasons"])
    assert "`probabilities` must sum to one (serving_default, a batch)" in reasons
    assert "Output `class_names` is missing (serve_json, a batch)" in reasons


def test_abstentions_are_one_bool_a_row(tmp_path):
    def answer(batch, name):
        names = tf.tile(tf.constant([served_model.CLASS_NAMES]), [batch, 1])
        abstain = tf.fill([batch, 3], False) if name == "serving_default" else tf.fill([batch], 0.0)
        error = tf.fill([batch], "an error" if name == "serve_json" else "")
        return {"probabilities": tf.fill([batch, 3], 1 / 3), "class_names": names, "abstain": abstain, "error": error}

    reasons = _check_here(_save(tmp_path / "model", _fake_signatures(answer)))["reasons"]
    expected = "Output `abstain` must be bool of the shape (3,)"
    assert f"{expected} (serving_default, a batch). It is bool of (3, 3)." in reasons
    assert f"{expected} (serve_json, a batch). It is float32 of (3,)." in reasons
    assert any(
        reason.startswith("Output `error` must be empty in each of 3 good rows (serve_json") for reason in reasons
    )


def test_model_that_needs_python_is_refused(tmp_path):
    """A `tf.py_function` runs where it was made, and nowhere else."""

    def answer(batch, name):
        probabilities = tf.py_function(lambda rows: np.full([int(rows), 3], 1 / 3, np.float32), [batch], tf.float32)
        names = tf.tile(tf.constant([served_model.CLASS_NAMES]), [batch, 1])
        return {"probabilities": tf.ensure_shape(probabilities, [None, 3]), "class_names": names}

    reasons = _reasons_of_process(_save(tmp_path / "model", _fake_signatures(answer)))
    assert any(reason.startswith("Signature `serving_default` fails on") for reason in reasons)


def test_model_without_its_vocabulary_or_without_anything_is_refused(tmp_path):
    shutil.copytree(served_model.exported_model(), tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "assets")
    (reason,) = _check_here(str(tmp_path / "model"))["reasons"]
    assert reason.startswith("The model cannot be loaded") and "assets/text_vocabulary" in reason
    (reason,) = _check_here(str(tmp_path / "nothing here"))["reasons"]
    assert reason.startswith("The model cannot be loaded: SavedModel file does not exist")


def test_process_that_dies_or_hangs_is_a_reason(monkeypatch, tmp_path):
    client = tmp_path / "client.py"
    monkeypatch.setattr(executor, "CLIENT", str(client))
    client.write_text("import sys; print('no memory left', file=sys.stderr); sys.exit(3)")
    (reason,) = _reasons_of_process("model")
    assert "ended with code 3" in reason and "no memory left" in reason
    client.write_text("import time; time.sleep(60)")
    result = executor.check_serving("model", _records(False), served_model.CLASS_NAMES, False, timeout_seconds=0.5)
    assert result["reasons"] == ["The model did not answer within 0.5 s."]
    assert result["blessed"] is False


def test_our_packages_cannot_be_imported_there(monkeypatch, tmp_path):
    """Runs the client's own blocking in the same kind of process, where an editable install would let them in."""
    script = tmp_path / "client.py"
    source = pathlib.Path(executor.CLIENT).read_text(encoding="utf-8").split('if __name__ == "__main__":')[0]
    script.write_text(
        source
        + """
import json
open_before = [name for name in ("hfmnas_keras", "tensorflow_transform") if importlib.util.find_spec(name)]
_block_packages()
seen = []
for name in BLOCKED_PACKAGES:
    try:
        importlib.import_module(name)
        seen.append(name)
    except ModuleNotFoundError as error:
        assert "is blocked" in str(error), error
json.dump({"reasons": [f"imported {seen}, before {open_before}"], "calls": [], "versions": {}}, open(sys.argv[2], "w"))
""",
        encoding="utf-8",
    )
    monkeypatch.setattr(executor, "CLIENT", str(script))
    (reason,) = _reasons_of_process("model")
    assert reason.startswith("imported [], before ["), reason
    assert "tensorflow_transform" in reason, "without the blocking it can be imported, so the blocking is what refuses"


def test_examples_are_needed():
    with pytest.raises(ValueError, match="at least one example"):
        executor.check_serving("model", [], ["a", "b"], False)


def _check_clips(source, records, **changes):
    return client.check_model(
        {
            "model": served_clips.exported_model(source),
            "class_names": served_clips.CLASS_NAMES[source],
            "multi_label": False,
            "modalities": served_clips.MODALITIES[source],
            "examples": [base64.b64encode(record).decode("ascii") for record in records],
            **changes,
        }
    )


def test_good_model_of_clips_is_called_with_clips_of_any_length():
    result = _check_clips("ntu", [served_clips.serialize(row) for row in served_clips.raw_rows()])
    assert result["reasons"] == []
    calls = {call["request"]: call["inputs"] for call in result["calls"] if call["signature"] == "serve_json"}
    assert {"a video clip of one frame", "a video clip of a PNG frame", "a skeleton of many frames"} <= set(calls)
    rows, frames = len(served_clips.LENGTHS), max(served_clips.LENGTHS)
    assert calls['a REST body of "instances", 4 rows'] == {
        "skeleton": {"dtype": "float32", "shape": [rows, 2 * frames, 2, 25, 3]},
        "video": {"dtype": "string", "shape": [rows, frames]},
    }


def test_good_model_of_depth_is_called_with_clips_of_any_length():
    result = _check_clips("egogesture", [served_clips.serialize(row) for row in served_clips.raw_rows("egogesture")])
    assert result["reasons"] == []
    calls = {call["request"]: call["inputs"] for call in result["calls"] if call["signature"] == "serve_json"}
    assert {"a depth clip of one frame", "a depth clip of many frames", "a depth clip of a JPEG frame"} <= set(calls)
    clips = {"dtype": "string", "shape": [len(served_clips.LENGTHS), max(served_clips.LENGTHS)]}
    assert calls['a REST body of "instances", 4 rows'] == {"depth": clips, "video": clips}


def test_model_of_clips_that_misses_a_modality_is_refused():
    records = [served_clips.serialize(row) for row in served_clips.raw_rows()[:1]]
    (reason,) = _check_clips("ntu", records, modalities=["video"])["reasons"]
    assert reason == "Signature `serve_json` must take ['video']. It takes ['skeleton', 'video']."
