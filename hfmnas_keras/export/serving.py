"""Exports a classifier with its preprocessing as one SavedModel for TensorFlow Serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hfmnas_keras.data.modalities import MODALITIES
from hfmnas_keras.data.modality import Modality
from hfmnas_keras.data.picture_decoding import each_alone
from hfmnas_keras.evidence.absent_modality import tells_of_each, without_absent
from hfmnas_keras.evidence.abstention import Abstention
from hfmnas_keras.export.decision import PROBABILITIES, decision_of, heads_of
from hfmnas_keras.export.saved_model_folder import check_destination, portable_recurrent_layers, write_whole

LABEL_OUTPUT = "label"
# A row of 224 x 224 pixels takes some 200 MB in VGG; a batch of any size takes what so many rows take.
ROWS_AT_ONCE = 16


def export_saved_model(
    classifier: keras.Model,
    transform_layer: Callable[[dict[str, Any]], Mapping[str, Any]],
    raw_feature_spec: Mapping[str, Any],
    class_names: Sequence[str],
    multi_label: bool,
    path: str,
    abstention: Abstention | None = None,
    thresholds: np.ndarray | None = None,
    head_thresholds: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes a SavedModel that takes raw pictures, words or clips and needs none of our code to run.

    The folder appears under `path` whole or not at all, and may be moved: the vocabulary travels as an asset.

    | signature | inputs | outputs |
    | --- | --- | --- |
    | `serving_default` | `examples`: serialized `tf.Example`s with the raw features of both modalities | as below |
    | `serve_json` | an argument for each modality, see below | as below |
    | `transform_features` | `examples`: serialized `tf.Example`s with every raw feature | `label`, for the Evaluator |

    | modality | raw feature | argument of `serve_json` |
    | --- | --- | --- |
    | text | `text`, one UTF-8 string | `text`, strings `(batch,)` |
    | image | `image`, PNG or JPEG bytes | `image_bytes` (in REST `{"b64": ...}`), strings `(batch,)` |
    | skeleton | `skeleton`, metres, frame by frame | `skeleton`, floats `(batch, frames, 2, 25, 3)` |
    | video | `video`, PNG or JPEG bytes, frame by frame | `video` (`{"b64": ...}` a frame), strings `(batch, frames)` |
    | depth | `depth`, like `video`, but of one channel and 8 bits | `depth`, like `video` |

    A clip may have any number of frames. Those of one request have the same: shorter ones are filled up at their end,
    with frames of zeros or empty strings, which count as no frames.

    The first two return their decision: single-label, the name of the class as `label` and its probability as `score`,
    both `(batch,)`; multi-label, `labels` `(batch, classes)`, the names of those given, the most probable first, and
    empty strings after them, and `{modality}_labels`, what each modality's head alone would give. They return
    `class_names` `(batch, classes)` too and the boolean `abstain`, `(batch,)` or, multi-label, `(batch, classes)`,
    beside every output of the classifier (HF-MNAS, Eq. 1-5; docs/method.md, section 1).

    They also return `error`, strings `(batch,)`: empty, or why the row cannot be used. Such a row has zeros in every
    output and abstains; the others are as without it, since a server puts the requests of strangers into one batch. The
    network runs over `ROWS_AT_ONCE` rows at a time, so that a large request takes time and not memory.

    A row may lack one of two modalities, by an empty text, empty bytes of a picture, or an example without the feature.
    The other one answers it alone (`without_absent`), and `missing`, strings `(batch,)`, names what was not there. With
    a classifier that does not tell what each modality says, and of clips, it is an error of the row.

    The `label` of `transform_features` is int64 `(batch, 1)` in single-label sets and a float32 multi-hot
    `(batch, classes)` in multi-label ones. It is named `label` in both, so that the raw feature `labels` keeps its name
    to itself and evaluations can be sliced by it.

    Args:
        classifier: keras.Model. Functional, with the inputs of one or two `hfmnas_keras.data.modalities`, such as
            `image` (float32, 0..255, `(batch, height, width, 3)`) and `tokens` (int64, `(batch, length)`), and a
            dictionary of outputs, `probabilities` among them.
        transform_layer: callable. Maps a dictionary of raw features to the transformed ones, named as the classifier's
            inputs and encoded as the modalities have it (`image`: PNG bytes of the resized picture), and `label` or
            `labels`: what `tft.TFTransformOutput.transform_features_layer()` gives. Must be trackable by TensorFlow.
        raw_feature_spec: dict. Feature name to `tf.io.FixedLenFeature` or `tf.io.VarLenFeature`; with the raw feature
            of each modality. What serving does not have is filled with empty values.
        class_names: sequence of str, in the order of the classifier's outputs.
        multi_label: bool. Whether an example may have several classes, or none.
        path: str. Folder to write. Must not exist, or be empty.
        abstention: `Abstention` or None. Bounds above which `abstain` is true. `None` (default): it never is.
        thresholds: array `(classes,)` or None. Multi-label only: the probabilities above which a label is given, of
            `hfmnas_keras.evidence.thresholds`. `None` (default): one half for each.
        head_thresholds: dict of such arrays by modality, of the sigmoid of its head's logits, or None. Defaults to
            `None`: one half for each.

    Raises:
        ValueError: an input or output is missing, the number of classes differs, or `path` is taken.
    """
    class_names = list(class_names)
    abstention = abstention or Abstention()
    modalities = _modalities_of(classifier)
    _check_outputs(classifier, class_names)
    bounds = {PROBABILITIES: thresholds, **(head_thresholds or {})}
    for name, values in bounds.items():
        if values is not None and np.shape(values) != (len(class_names),):
            raise ValueError(
                f"`thresholds` must be {len(class_names)}, one a class. Received: shape {np.shape(values)} ({name})."
            )
    _check_raw_features(raw_feature_spec, modalities)
    check_destination(path)
    label_feature = "labels" if multi_label else "label"
    answers_alone = tells_of_each(classifier.output, [modality.name for modality in modalities])

    def predict(parsed: dict[str, Any], errors: tf.Tensor) -> dict[str, tf.Tensor]:
        given = {m.name: m.as_raw(m.bounded(parsed[m.name]), raw_feature_spec[m.name]) for m in modalities}
        batch = _batch_size(parsed[modalities[0].name])
        transformed = transform_layer({**_empty_features(raw_feature_spec, batch_size=batch), **given})
        absent = {m.name: m.is_absent(parsed[m.name], m.of_transformed(transformed)) for m in modalities}
        absent = _absent(absent, answers_alone, batch)
        for modality in modalities:
            found = modality.errors(parsed[modality.name], transformed[modality.input_name])
            found = tf.where(absent[modality.name], "", found)
            found = tf.where(tf.equal(found, ""), "", tf.strings.join([f"{modality.name}: ", found]))
            errors = tf.where(tf.equal(errors, ""), found, errors)
        # Rows of errors, and a request without rows, take the blank one behind the others.
        order = tf.where(tf.equal(errors, ""), tf.range(batch), batch)
        order = tf.concat([order, [batch]], axis=0)[: tf.maximum(batch, 1)]
        rows = {}
        for modality in modalities:
            values = modality.of_transformed(transformed)
            blank = modality.blank(classifier.input[modality.input_name].shape[1:])
            blank = tf.reshape(tf.cast(blank, values.dtype), tf.concat([[1], tf.shape(values)[1:]], axis=0))
            own = tf.concat([tf.where(absent[modality.name], batch, tf.range(batch)), [batch]], axis=0)
            rows[modality.input_name] = tf.gather(tf.concat([values, blank], axis=0), tf.gather(own, order))

        def classified(start: tf.Tensor) -> dict[str, tf.Tensor]:
            inputs = {}
            for modality in modalities:
                source = classifier.input[modality.input_name]
                decoded = modality.decode(rows[modality.input_name][start : start + ROWS_AT_ONCE])
                inputs[modality.input_name] = tf.cast(tf.ensure_shape(decoded, source.shape), source.dtype)
            outputs = {name: tf.convert_to_tensor(value) for name, value in classifier(inputs, training=False).items()}
            # In mixed precision the network computes in float16, which a client cannot tell from a bad rounding.
            return {name: tf.cast(value, tf.float32) for name, value in outputs.items()}

        outputs = _in_parts(
            classified, {name: value.shape for name, value in classifier.output.items()}, tf.size(order)
        )
        is_good = tf.equal(errors, "")
        outputs = {name: value[:batch] for name, value in outputs.items()}
        if answers_alone:
            outputs = without_absent(outputs, absent)
        outputs.update(decision_of(outputs, class_names, multi_label, bounds, absent))
        outputs["missing"] = _names_of(absent)
        outputs = {name: _zeroed(value, is_good) for name, value in outputs.items()}
        abstains = abstention(outputs)
        outputs["abstain"] = abstains | ~tf.reshape(is_good, [-1] + [1] * (len(abstains.shape) - 1))
        outputs["class_names"] = tf.tile(tf.constant([class_names]), [batch, 1])
        outputs["error"] = errors
        return outputs

    @tf.function(input_signature=[_strings("examples")])
    def serving_default(examples: Any) -> Any:
        return predict(*_parsed(examples, modalities, answers_alone))

    @tf.function(
        input_signature=[
            tf.TensorSpec(modality.request_spec.shape, modality.request_spec.dtype, modality.argument)
            for modality in modalities
        ]
    )
    def serve_json(*arguments: Any) -> Any:
        numbers = [tf.shape(argument, tf.int64)[0] for argument in arguments]
        told = ["The arguments must have the same number of rows. Received:"]
        for modality, number in zip(modalities, numbers, strict=True):
            told += [modality.argument, number]
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(tf.equal(numbers, numbers[0])), told)]):
            checked = [tf.identity(argument) for argument in arguments]
        parsed = {m.name: m.of_request(argument) for m, argument in zip(modalities, checked, strict=True)}
        return predict(parsed, tf.fill(numbers[:1], ""))

    @tf.function(input_signature=[_strings("examples")])
    def transform_features(examples: Any) -> Any:
        transformed = transform_layer(tf.io.parse_example(examples, dict(raw_feature_spec)))
        return {LABEL_OUTPUT: transformed[label_feature]}

    # Not Keras's own export, which writes every variable twice.
    module = tf.Module(name="classifier_with_preparation")
    # What a signature uses has to hang on the module: variables one by one, tables by their layer.
    module.variables_of_classifier = [variable.value for variable in classifier.variables]
    module.transform_layer = transform_layer
    signatures = {
        "serving_default": serving_default,
        "serve_json": serve_json,
        "transform_features": transform_features,
    }
    with portable_recurrent_layers(classifier):
        write_whole(module, signatures, path)


def _strings(name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None], tf.string, name=name)


def _modalities_of(classifier: keras.Model) -> list[Modality]:
    """The modalities that a classifier reads, by the names of its inputs."""
    inputs = classifier.input
    names = set(inputs) if isinstance(inputs, dict) else set()
    modalities = [modality for modality in MODALITIES.values() if modality.input_name in names]
    if not modalities or names != {modality.input_name for modality in modalities}:
        raise ValueError(
            "`classifier` must take a dictionary of the inputs of modalities, from "
            f"{[modality.input_name for modality in MODALITIES.values()]}. Received: {sorted(names) or inputs}."
        )
    return modalities


def _check_outputs(classifier: keras.Model, class_names: list[str]) -> None:
    outputs = classifier.output
    needed = {"probabilities", "conflict", "uncertainty"}
    if not isinstance(outputs, dict) or not needed <= set(outputs):
        received = sorted(outputs) if isinstance(outputs, dict) else outputs
        raise ValueError(f"`classifier` must return a dictionary with {sorted(needed)}. Received: {received}.")
    added = {"abstain", "class_names", "label", "labels", "score", "error", "missing"}
    for name in (added | {f"{modality}_labels" for modality in heads_of(outputs)}) & set(outputs):
        raise ValueError(f"`classifier` must not have an output `{name}`: the export adds it.")
    num_classes = outputs["probabilities"].shape[-1]
    if num_classes != len(class_names):
        raise ValueError(
            f"`class_names` must name the {num_classes} outputs of the classifier. Received: {class_names}."
        )


def _absent(told: Mapping[str, tf.Tensor | None], answers_alone: bool, batch: tf.Tensor) -> dict[str, tf.Tensor]:
    """Which rows lack a modality and have the other one, bool `(batch,)` by modality."""
    nowhere = tf.fill([batch], False)
    found = {name: nowhere if rows is None or not answers_alone else rows for name, rows in told.items()}
    lacks_all = tf.reduce_all(tf.stack(list(found.values())), axis=0)
    return {name: rows & ~lacks_all for name, rows in found.items()}


def _names_of(absent: Mapping[str, tf.Tensor]) -> tf.Tensor:
    return tf.strings.join([tf.where(rows, name, "") for name, rows in absent.items()])


def _check_raw_features(raw_feature_spec: Mapping[str, Any], modalities: Sequence[Modality]) -> None:
    for modality in modalities:
        expected = modality.example_feature.dtype
        if modality.name not in raw_feature_spec or raw_feature_spec[modality.name].dtype != expected:
            raise ValueError(
                f"`raw_feature_spec` must have a {expected.name} feature `{modality.name}`. "
                f"Received: {raw_feature_spec}."
            )
    for name, spec in raw_feature_spec.items():
        if not isinstance(spec, (tf.io.FixedLenFeature, tf.io.VarLenFeature)):
            raise ValueError(
                f"Raw feature `{name}` must be a `tf.io.FixedLenFeature` or a `tf.io.VarLenFeature`. Received: {spec}. "
                "Give it a fixed shape in the schema, or none."
            )


def _parsed(
    examples: tf.Tensor, modalities: Sequence[Modality], answers_alone: bool
) -> tuple[dict[str, Any], tf.Tensor]:
    """Parses requests; one that cannot be parsed, or lacks its one value, is an error of its row, not of the batch.

    With `answers_alone` no value is an empty one.
    """
    spec = {m.name: tf.io.VarLenFeature(m.example_feature.dtype) for m in modalities}

    def parsed_alone(example: tf.Tensor) -> tf.Tensor:
        numbers = [tf.size(feature.values) for feature in tf.io.parse_single_example(example, spec).values()]
        return tf.strings.as_string(tf.add_n(numbers))

    # Parsed together, one that is broken would fail the requests of all.
    is_whole = each_alone((examples,), tf.fill(tf.shape(examples), True), parsed_alone) != ""
    expected = ", ".join(f"`{m.name}` ({m.example_feature.dtype.name})" for m in modalities)
    errors = tf.where(is_whole, "", f"The row is no serialized tf.train.Example with {expected}.")
    parsed = tf.io.parse_example(tf.where(is_whole, examples, ""), spec)
    for modality in modalities:
        if isinstance(modality.example_feature, tf.io.FixedLenFeature):
            values = tf.RaggedTensor.from_sparse(parsed[modality.name])
            number = values.row_lengths()
            told = tf.strings.join(
                [f"{modality.name}: One value is expected. Received: ", tf.strings.as_string(number)]
            )
            is_wrong = number > 1 if answers_alone else number != 1
            errors = tf.where(tf.equal(errors, "") & is_wrong, told, errors)
            parsed[modality.name] = values.to_tensor(shape=[None, 1])[:, 0]
    return parsed, errors


def _in_parts(
    classified: Callable[[tf.Tensor], dict[str, tf.Tensor]], shapes: Mapping[str, Any], number: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Puts together what `classified` gives from 0, from `ROWS_AT_ONCE` and so on, of a number of rows, one or more."""
    parts = -(-number // ROWS_AT_ONCE)
    arrays = {
        name: tf.TensorArray(tf.float32, parts, infer_shape=False, element_shape=[None, *shape[1:]])
        for name, shape in shapes.items()
    }

    def step(part: tf.Tensor, arrays: dict[str, tf.TensorArray]) -> tuple[tf.Tensor, dict[str, tf.TensorArray]]:
        outputs = classified(part * ROWS_AT_ONCE)
        return part + 1, {name: array.write(part, outputs[name]) for name, array in arrays.items()}

    # One after the other: all at once they would take the memory of all.
    _, arrays = tf.while_loop(lambda part, _: part < parts, step, (tf.constant(0), arrays), parallel_iterations=1)
    return {name: tf.ensure_shape(array.concat(), [None, *shapes[name][1:]]) for name, array in arrays.items()}


def _zeroed(values: tf.Tensor, is_kept: tf.Tensor) -> tf.Tensor:
    """Leaves zeros, or empty strings, in the rows that are not kept."""
    return tf.where(tf.reshape(is_kept, [-1] + [1] * (len(values.shape) - 1)), values, tf.zeros_like(values))


def _batch_size(values: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
    shape = values.dense_shape if isinstance(values, tf.SparseTensor) else tf.shape(values, out_type=tf.int64)
    return shape[0]


def _empty_features(raw_feature_spec: Mapping[str, Any], batch_size: tf.Tensor) -> dict[str, Any]:
    """An empty value for each raw feature, which stands where serving has none."""
    features = {}
    for name, spec in raw_feature_spec.items():
        if isinstance(spec, tf.io.FixedLenFeature):
            features[name] = tf.zeros(tf.concat([[batch_size], tf.constant(spec.shape, tf.int64)], axis=0), spec.dtype)
        else:
            features[name] = tf.SparseTensor(
                tf.zeros([0, 2], tf.int64), tf.zeros([0], spec.dtype), tf.stack([batch_size, tf.constant(0, tf.int64)])
            )
    return features
