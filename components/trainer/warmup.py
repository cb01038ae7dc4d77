"""Requests that a server sends to a model when it loads it, so that the first one of a client is not the slow one.

TensorFlow Serving reads them from `assets.extra/tf_serving_warmup_requests` in the model's folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.modalities import MODALITIES, SKELETON_FRAME

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
#: Frames of a clip or a skeleton.
_FRAMES = 16
_SIDE = 64


def write_warmup(model_path: str, modalities: Sequence[str], batch_sizes: Sequence[int] = (1, 8)) -> None:
    """Writes requests for `serving_default` and `serve_json` into a SavedModel's folder.

    Args:
        model_path: str. The folder, local or an address.
        modalities: names of the modalities that the model reads.
        batch_sizes: sequence of ints. Rows of the requests. Defaults to `(1, 8)`; TensorFlow's first call of another
            number of rows is as fast.
    """
    # TFX brings it; a model that is trained without TFX has no need of it.
    from tensorflow_serving.apis import prediction_log_pb2

    path = os.path.join(model_path, WARMUP_FILE)
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for rows in batch_sizes:
            for signature, inputs in _requests(modalities, rows).items():
                log = prediction_log_pb2.PredictionLog()
                log.predict_log.request.model_spec.signature_name = signature
                for name, value in inputs.items():
                    log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
                writer.write(log.SerializeToString(deterministic=True))


def _requests(modalities: Sequence[str], rows: int) -> dict[str, dict[str, Any]]:
    values = {name: _value(name) for name in modalities}
    example = tf.train.Example(
        features=tf.train.Features(feature={name: _feature(value) for name, value in values.items()})
    )
    return {
        "serving_default": {"examples": [example.SerializeToString(deterministic=True)] * rows},
        "serve_json": {MODALITIES[name].argument: np.stack([value] * rows) for name, value in values.items()},
    }


def _value(modality: str) -> np.ndarray:
    """A row as `serve_json` takes it, which can be decoded and says nothing."""
    if modality == "text":
        return np.array(b"a request to warm up", object)
    picture = tf.io.encode_png(tf.fill([_SIDE, _SIDE, 1 if modality == "depth" else 3], tf.constant(127, tf.uint8)))
    if modality == "image":
        return np.array(picture.numpy(), object)
    if modality == "skeleton":
        return np.ones((_FRAMES, *SKELETON_FRAME), np.float32)
    return np.array([picture.numpy()] * _FRAMES, object)


def _feature(value: np.ndarray) -> tf.train.Feature:
    if value.dtype == object:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=value.reshape(-1).tolist()))
    return tf.train.Feature(float_list=tf.train.FloatList(value=value.reshape(-1)))
