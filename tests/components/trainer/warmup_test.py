"""The warm-up requests in a model's folder are ones that it answers."""

import os
import shutil

import pytest
import tensorflow as tf

from components.trainer.warmup import WARMUP_FILE, write_warmup
from hfmnas_keras.data.modalities import MODALITIES
from tests import served_model

prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")


def requests(folder):
    """`(signature, inputs)` of each request, as TensorFlow Serving reads them."""
    for record in tf.data.TFRecordDataset(os.path.join(folder, WARMUP_FILE)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        yield request.model_spec.signature_name, inputs


def test_the_model_answers_every_request_without_an_error(tmp_path):
    folder = str(tmp_path / "model")
    shutil.copytree(served_model.exported_model(), folder)
    write_warmup(folder, ["text", "image"])
    model = tf.saved_model.load(folder)
    answered = []
    for signature, inputs in requests(folder):
        answer = model.signatures[signature](**inputs)
        assert set(answer["error"].numpy()) == {b""}
        answered.append((signature, len(answer["error"])))
    assert answered == [("serving_default", 1), ("serve_json", 1), ("serving_default", 8), ("serve_json", 8)]


@pytest.mark.parametrize("modalities", [["skeleton", "video"], ["depth", "video"], ["text"]])
def test_requests_have_the_form_of_their_modalities(tmp_path, modalities):
    write_warmup(str(tmp_path), modalities, batch_sizes=(2,))
    (_, examples), (_, inputs) = requests(str(tmp_path))
    assert len(examples["examples"]) == 2
    specs = {MODALITIES[name].argument: MODALITIES[name].request_spec for name in modalities}
    assert set(inputs) == set(specs)
    for name, value in inputs.items():
        assert specs[name].is_compatible_with(tf.TensorSpec(value.shape, value.dtype))
        assert value.shape[0] == 2
