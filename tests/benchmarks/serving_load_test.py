"""The crowd on a small model that the pipeline's own export wrote, and on one that answers wrongly."""

import json

import pytest
import tensorflow as tf
from click.testing import CliRunner

pytest.importorskip("tensorflow_transform", reason="needs the extra `pipeline`")

from benchmarks.serving_load import main, serving_load
from tests import served_model


def test_good_rows_are_answered_among_hostile_ones(tmp_path):
    output = tmp_path / "load.json"
    arguments = [served_model.exported_model(), "--threads", "4", "--seconds", "2", "--output", str(output)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    record = json.loads(output.read_text(encoding="utf-8"))
    assert not record["problems"] and record["requests"] > 20
    kinds = record["kinds"]
    assert kinds["one row"]["rows_answered"] == kinds["one row"]["requests"]
    assert kinds["a picture more than texts"]["requests_refused"] == kinds["a picture more than texts"]["requests"]
    broken = kinds["a broken picture among good ones"]
    assert broken["rows_answered"] == 2 * broken["rows_refused"] == 2 * broken["requests"]
    assert kinds["an endless text among good ones"]["rows_refused"] > 0 < kinds["examples"]["rows_answered"]
    for kind in kinds.values():
        assert 0 <= kind["p50_ms"] <= kind["p99_ms"]


def test_a_model_that_loses_good_rows_is_told(tmp_path):
    """One whose whole request fails with a broken picture, and whose answers depend on who stands beside."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name) for name in ("image_bytes", "text")])
    def serve_json(image_bytes, text):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(image_bytes != b"none"), ["none"])]):
            rows = tf.shape(image_bytes)[0]
        return {"error": tf.fill([rows], ""), "probabilities": tf.fill([rows, 2], tf.cast(rows, tf.float32))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def serving_default(examples):
        return {"error": tf.fill(tf.shape(examples), ""), "probabilities": tf.ones([tf.size(examples), 2])}

    signatures = {"serve_json": serve_json, "serving_default": serving_default}
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"), signatures=signatures)
    problems = serving_load(str(tmp_path / "model"), threads=1, seconds=1)["problems"]
    assert "several rows: a good row was answered otherwise than alone" in problems
    assert "no picture among good ones: the whole request was refused" in problems
    assert "examples: a good row was answered otherwise than alone" not in problems
    assert any(problem.startswith("a broken example among good ones: rows answered") for problem in problems)
    assert any(problem.startswith("a broken picture among good ones: rows answered") for problem in problems)
