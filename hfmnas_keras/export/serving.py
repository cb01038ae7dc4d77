"""Exports a classifier with its preprocessing as one SavedModel for TensorFlow Serving."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

IMAGE_FEATURE = "image"
TEXT_FEATURE = "text"
TOKENS_FEATURE = "tokens"
LABEL_OUTPUT = "label"


def export_saved_model(
    classifier: keras.Model,
    transform_layer: Callable[[dict[str, Any]], Mapping[str, Any]],
    raw_feature_spec: Mapping[str, Any],
    class_names: Sequence[str],
    multi_label: bool,
    path: str,
) -> None:
    """Writes a SavedModel that takes raw pictures and words and needs none of our code to run.

    The folder appears under `path` whole or not at all, and may be moved: the vocabulary travels as an asset.

    | signature | inputs | outputs |
    | --- | --- | --- |
    | `serving_default` | `examples`: serialized `tf.Example`s with `image` (PNG or JPEG bytes) and `text` | as below |
    | `serve_json` | `image_bytes` (in REST `{"b64": ...}`) and `text`, strings of shape `(batch,)` | as below |
    | `transform_features` | `examples`: serialized `tf.Example`s with every raw feature | `label`, for the Evaluator |

    The first two return `class_names` `(batch, classes)` beside every output of the classifier (HF-MNAS, Eq. 1-5;
    docs/method.md, section 1). `label` is int64 `(batch, 1)` in single-label sets and a float32 multi-hot
    `(batch, classes)` in multi-label ones. It is named `label` in both, so that the raw feature `labels` keeps its
    name to itself and evaluations can be sliced by it.

    Args:
        classifier: keras.Model. Functional, with the inputs `image` (float32, 0..255, `(batch, height, width, 3)`)
            and `tokens` (int64, `(batch, length)`), and a dictionary of outputs, `probabilities` among them.
        transform_layer: callable. Maps a dictionary of raw features to the transformed ones, `image` (PNG bytes of
            the resized picture), `tokens`, and `label` or `labels`: what
            `tft.TFTransformOutput.transform_features_layer()` gives. Must be trackable by TensorFlow.
        raw_feature_spec: dict. Feature name to `tf.io.FixedLenFeature` or `tf.io.VarLenFeature`; with
            `image` and `text`, one value an example. What serving does not have is filled with empty values.
        class_names: sequence of str, in the order of the classifier's outputs.
        multi_label: bool. Whether an example may have several classes, or none.
        path: str. Folder to write. Must not exist, or be empty.

    Raises:
        ValueError: an input or output is missing, the number of classes differs, or `path` is taken.
    """
    class_names = list(class_names)
    _check_classifier(classifier, class_names)
    _check_raw_features(raw_feature_spec)
    _check_destination(path)
    image_shape = tuple(classifier.input[IMAGE_FEATURE].shape[1:])
    label_feature = "labels" if multi_label else "label"

    def predict(images: tf.Tensor, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        transformed = transform_layer(_raw_features(images, texts, raw_feature_spec))
        inputs = {
            IMAGE_FEATURE: _decode_images(transformed[IMAGE_FEATURE], image_shape),
            TOKENS_FEATURE: transformed[TOKENS_FEATURE],
        }
        outputs = {name: tf.convert_to_tensor(value) for name, value in classifier(inputs, training=False).items()}
        # Under mixed precision the network computes in float16, which a REST client cannot tell from a bad rounding.
        outputs = {name: tf.cast(value, tf.float32) for name, value in outputs.items()}
        batch = tf.shape(outputs["probabilities"])[0]
        outputs["class_names"] = tf.tile(tf.constant([class_names]), [batch, 1])
        return outputs

    @tf.function(input_signature=[_strings("examples")])
    def serving_default(examples):
        features = tf.io.parse_example(
            examples, {name: tf.io.FixedLenFeature([], tf.string) for name in (IMAGE_FEATURE, TEXT_FEATURE)}
        )
        return predict(features[IMAGE_FEATURE], features[TEXT_FEATURE])

    @tf.function(input_signature=[_strings("image_bytes"), _strings("text")])
    def serve_json(image_bytes, text):
        return predict(image_bytes, text)

    @tf.function(input_signature=[_strings("examples")])
    def transform_features(examples):
        transformed = transform_layer(tf.io.parse_example(examples, dict(raw_feature_spec)))
        return {LABEL_OUTPUT: transformed[label_feature]}

    archive = keras.export.ExportArchive()
    # What is not tracked loses its vocabulary table when the model is written.
    archive.track(classifier)
    archive.track(transform_layer)
    with _portable_recurrent_layers(classifier):
        archive.add_endpoint("serving_default", serving_default)
        archive.add_endpoint("serve_json", serve_json)
        archive.add_endpoint("transform_features", transform_features)
        _write_whole(archive, path)


def _strings(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.string, name=name)


def _check_classifier(classifier: keras.Model, class_names: list[str]) -> None:
    inputs, outputs = classifier.input, classifier.output
    expected = {IMAGE_FEATURE, TOKENS_FEATURE}
    if not isinstance(inputs, dict) or set(inputs) != expected:
        received = sorted(inputs) if isinstance(inputs, dict) else inputs
        raise ValueError(f"`classifier` must take a dictionary of {sorted(expected)}. Received: {received}.")
    if not isinstance(outputs, dict) or "probabilities" not in outputs:
        received = sorted(outputs) if isinstance(outputs, dict) else outputs
        raise ValueError(f"`classifier` must return a dictionary with `probabilities`. Received: {received}.")
    if "class_names" in outputs:
        raise ValueError("`classifier` must not have an output `class_names`: the export adds it.")
    num_classes = outputs["probabilities"].shape[-1]
    if num_classes != len(class_names):
        raise ValueError(
            f"`class_names` must name the {num_classes} outputs of the classifier. Received: {class_names}."
        )


def _check_raw_features(raw_feature_spec: Mapping[str, Any]) -> None:
    for name in (IMAGE_FEATURE, TEXT_FEATURE):
        if name not in raw_feature_spec or raw_feature_spec[name].dtype != tf.string:
            raise ValueError(f"`raw_feature_spec` must have a string feature `{name}`. Received: {raw_feature_spec}.")
    for name, spec in raw_feature_spec.items():
        if not isinstance(spec, (tf.io.FixedLenFeature, tf.io.VarLenFeature)):
            raise ValueError(
                f"Raw feature `{name}` must be a `tf.io.FixedLenFeature` or a `tf.io.VarLenFeature`. Received: {spec}. "
                "Give it a fixed shape in the schema, or none."
            )


def _check_destination(path: str) -> None:
    if tf.io.gfile.exists(path) and (not tf.io.gfile.isdir(path) or tf.io.gfile.listdir(path)):
        raise ValueError(f"`path` must be a new or an empty folder. Received: {path}, which holds something.")


def _raw_features(images: tf.Tensor, texts: tf.Tensor, raw_feature_spec: Mapping[str, Any]) -> dict[str, Any]:
    """One raw feature for each in the spec: the two that serving has, and empty values for the others."""
    batch = tf.shape(images, out_type=tf.int64)[0]
    given = {IMAGE_FEATURE: images, TEXT_FEATURE: texts}
    features = {}
    for name, spec in raw_feature_spec.items():
        if name in given:
            features[name] = _shaped_as(given[name], spec, batch)
        elif isinstance(spec, tf.io.FixedLenFeature):
            features[name] = tf.zeros(tf.concat([[batch], tf.constant(spec.shape, tf.int64)], axis=0), spec.dtype)
        else:
            features[name] = tf.SparseTensor(
                tf.zeros([0, 2], tf.int64), tf.zeros([0], spec.dtype), tf.stack([batch, tf.constant(0, tf.int64)])
            )
    return features


def _shaped_as(values: tf.Tensor, spec: Any, batch: tf.Tensor) -> tf.Tensor | tf.SparseTensor:
    """Gives one string an example the form in which `tf.io.parse_example` would have returned it."""
    if isinstance(spec, tf.io.FixedLenFeature):
        return tf.reshape(values, [-1, *spec.shape])
    rows = tf.range(batch)
    return tf.SparseTensor(
        tf.stack([rows, tf.zeros_like(rows)], axis=1), values, tf.stack([batch, tf.constant(1, tf.int64)])
    )


def _decode_images(encoded: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    def decode(image_bytes: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_png(image_bytes, channels=3)
        return tf.cast(tf.ensure_shape(image, image_shape), tf.float32)

    # (batch, height, width, 3)
    return tf.map_fn(decode, tf.reshape(encoded, [-1]), fn_output_signature=tf.TensorSpec(image_shape, tf.float32))


@contextlib.contextmanager
def _portable_recurrent_layers(model: keras.Model) -> Iterator[None]:
    """Keeps cuDNN out of the traced graphs: a model exported beside a GPU must also serve without one."""
    changed = []
    for layer in model._flatten_layers():
        if getattr(layer, "use_cudnn", False):
            changed.append((layer, layer.use_cudnn))
            layer.use_cudnn = False
    try:
        yield
    finally:
        for layer, value in changed:
            layer.use_cudnn = value


def _write_whole(archive: keras.export.ExportArchive, path: str) -> None:
    """Writes beside `path` and moves the finished folder there, so that no one ever sees half of it."""
    path = path.rstrip("/")
    parent, name = os.path.split(path)
    unfinished = os.path.join(parent, f".{name}.{uuid.uuid4().hex}")
    if parent:
        tf.io.gfile.makedirs(parent)
    try:
        archive.write_out(unfinished, verbose=False)
        if tf.io.gfile.exists(path):
            # Empty, as checked before: TFX makes the folder in advance.
            tf.io.gfile.rmtree(path)
        tf.io.gfile.rename(unfinished, path)
    finally:
        if tf.io.gfile.exists(unfinished):
            tf.io.gfile.rmtree(unfinished)
