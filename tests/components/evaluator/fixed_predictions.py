"""A SavedModel that answers with the scores written in the examples, so that every prediction is known beforehand."""

import os

import numpy as np
import tensorflow as tf

OUTPUTS = ("probabilities", "image_belief", "text_belief")
# One value an example, or in multi-label sets one a class.
SCALARS = ("image_uncertainty", "text_uncertainty", "conflict", "uncertainty")


def save_model(
    path, class_names, multi_label, shift=0, scale=1.0, thresholds=None, head_thresholds=None, any_number=False
):
    """Writes the model; `shift` moves its answers to the next class, which makes it worse than the examples say.

    With `thresholds` it names its labels itself, and with `head_thresholds`, by modality, those of its heads. With
    `any_number` the examples may be of another number of classes.
    """
    num_classes = len(class_names)
    spec = {name: tf.io.FixedLenFeature([num_classes], tf.float32) for name in OUTPUTS}
    for name in SCALARS:
        spec[name] = tf.io.FixedLenFeature([num_classes if multi_label else 1], tf.float32)
    labels = tf.io.FixedLenFeature([num_classes], tf.float32) if multi_label else tf.io.FixedLenFeature([1], tf.int64)
    if any_number:
        spec = {
            name: tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True, default_value=0.0) for name in spec
        }
    signature = [tf.TensorSpec([None], tf.string, name="examples")]

    @tf.function(input_signature=signature)
    def serving_default(examples):
        outputs = tf.io.parse_example(examples, spec)
        outputs["probabilities"] = scale * tf.roll(outputs["probabilities"], shift, axis=1)
        outputs["class_names"] = tf.tile(tf.constant([class_names]), [tf.shape(examples)[0], 1])
        if thresholds is not None:
            given = outputs["probabilities"] > tf.constant(thresholds, tf.float32)
            # In another order than the classes.
            outputs["labels"] = tf.reverse(tf.where(given, outputs["class_names"], ""), [1])
        for modality, bounds in (head_thresholds or {}).items():
            scores = outputs[f"{modality}_belief"] + outputs[f"{modality}_uncertainty"] / 2
            outputs[f"{modality}_labels"] = tf.where(scores > tf.constant(bounds), outputs["class_names"], "")
        outputs["abstain"] = tf.fill(tf.shape(examples), False)
        return outputs

    @tf.function(input_signature=signature)
    def transform_features(examples):
        return {"label": tf.io.parse_example(examples, {"truth": labels})["truth"]}

    module = tf.Module()
    tf.saved_model.save(
        module, path, signatures={"serving_default": serving_default, "transform_features": transform_features}
    )
    return path


def serialize(truth, class_names, scores, scalars, multi_label):
    """Returns one serialized example: the scores by output, and the raw feature `labels` as ingested data has it."""
    if multi_label:
        names = [name for name, is_true in zip(class_names, truth, strict=True) if is_true]
        truth_feature = tf.train.Feature(float_list=tf.train.FloatList(value=truth))
    else:
        names = [class_names[truth]]
        truth_feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[truth]))
    features = {
        "labels": tf.train.Feature(bytes_list=tf.train.BytesList(value=[name.encode() for name in names])),
        "truth": truth_feature,
    }
    for name, values in {**scores, **scalars}.items():
        features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=np.atleast_1d(values)))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_split(examples_uri, split, records):
    folder = os.path.join(examples_uri, f"Split-{split}")
    tf.io.gfile.makedirs(folder)
    with tf.io.TFRecordWriter(os.path.join(folder, "data.gz"), options="GZIP") as writer:
        for record in records:
            writer.write(record)
