"""A small real model as the pipeline makes one: raw examples, a real TFT graph, a classifier, its SavedModel."""

import atexit
import functools
import io
import os
import shutil
import tempfile

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from keras import ops
from PIL import Image
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io, schema_utils

from components.transform.preprocessing import preprocessing_fn
from hfmnas_keras.evidence.abstention import Abstention
from hfmnas_keras.export.serving import export_saved_model

CLASS_NAMES = ["animal", "food", "größe"]
IMAGE_SIZE = (6, 5)
MAX_TOKENS = 4
TEXTS = ["a red dog", "green apple pie", "größe des hundes", "dog", "apple", "a pie", "red apple", "ein hund"]
RAW_FEATURE_SPEC = {
    "id": tf.io.FixedLenFeature([], tf.string),
    "image": tf.io.FixedLenFeature([], tf.string),
    "text": tf.io.FixedLenFeature([], tf.string),
    "labels": tf.io.VarLenFeature(tf.string),
}


def raw_rows(multi_label):
    """Eight rows of raw features; pictures of several sizes and both formats."""
    generator = np.random.default_rng(0)
    rows = []
    for index, text in enumerate(TEXTS):
        picture = generator.integers(0, 256, (7 + index, 9, 3), dtype=np.uint8)
        encode = tf.io.encode_jpeg if index % 2 else tf.io.encode_png
        labels = [CLASS_NAMES[index % 3]]
        if multi_label:
            labels = CLASS_NAMES[: index % 4]
        rows.append(
            {
                "id": f"row {index}".encode(),
                "image": encode(picture).numpy(),
                "text": text.encode(),
                "labels": [label.encode() for label in labels],
            }
        )
    return rows


def serialize(row, names=("id", "image", "text", "labels")):
    features = {
        name: tf.train.Feature(
            bytes_list=tf.train.BytesList(value=row[name] if isinstance(row[name], list) else [row[name]])
        )
        for name in names
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@functools.cache
def transform_output(multi_label):
    """Runs TFT over the rows; returns its `TFTransformOutput`."""
    folder = _temporary_folder()
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(RAW_FEATURE_SPEC))
    with tft_beam.Context(temp_dir=os.path.join(folder, "temp")):
        _, transform_fn = (raw_rows(multi_label), metadata) | tft_beam.AnalyzeAndTransformDataset(
            functools.partial(
                preprocessing_fn,
                custom_config={
                    "classes": CLASS_NAMES,
                    "multi_label": multi_label,
                    "modalities": ["text", "image"],
                    "image_size": list(IMAGE_SIZE),
                    "max_tokens": MAX_TOKENS,
                    "min_frequency": 1,
                    "max_subwords": 0,
                },
            )
        )
        _ = transform_fn | tft_beam.WriteTransformFn(os.path.join(folder, "transform"))
    # TFX's Transform adds the raw schema.
    metadata_io.write_metadata(metadata, os.path.join(folder, "transform", tft.TFTransformOutput.RAW_METADATA_DIR))
    return tft.TFTransformOutput(os.path.join(folder, "transform"))


def tiny_classifier(multi_label, seed=0, scale=1.0):
    """Returns a classifier with the inputs and outputs of `multimodal_classifier`, untrained; `scale=nan` breaks it."""
    keras.utils.set_random_seed(seed)
    classes = len(CLASS_NAMES)
    image = keras.Input((*IMAGE_SIZE, 3), name="image")
    tokens = keras.Input((MAX_TOKENS,), name="tokens", dtype="int64")
    image_logits = keras.layers.Dense(classes)(keras.layers.Flatten()(image / 255.0))
    embedded = keras.layers.Embedding(32, 6, mask_zero=True)(tokens)
    text_logits = keras.layers.Dense(classes)(keras.layers.Bidirectional(keras.layers.LSTM(4))(embedded))
    logits = keras.layers.Dense(classes)(keras.layers.concatenate([image_logits, text_logits])) * scale
    outputs = {"probabilities": ops.sigmoid(logits) if multi_label else ops.softmax(logits)}
    for modality, head in (("image", image_logits), ("text", text_logits)):
        evidence = ops.softplus(head)
        if multi_label:
            total = evidence + ops.softplus(-head) + 2
            outputs[f"{modality}_uncertainty"] = 2 / total
        else:
            total = ops.sum(evidence, axis=-1, keepdims=True) + classes
            outputs[f"{modality}_uncertainty"] = classes / total[:, 0]
        outputs[f"{modality}_belief"] = evidence / total
    outputs["conflict"] = outputs["image_uncertainty"] * 0.5
    outputs["uncertainty"] = outputs["image_uncertainty"] * outputs["text_uncertainty"]
    return keras.Model({"image": image, "tokens": tokens}, outputs)


@functools.cache
def exported_model(multi_label=False, seed=0, scale=1.0, max_conflict=None, thresholds=None, head_thresholds=None):
    """Returns the folder of a SavedModel; `thresholds` are a tuple, `head_thresholds` pairs of modality and tuple."""
    path = os.path.join(_temporary_folder(), "model")
    output = transform_output(multi_label)
    export_saved_model(
        tiny_classifier(multi_label, seed, scale),
        output.transform_features_layer(),
        output.raw_feature_spec(),
        CLASS_NAMES,
        multi_label,
        path,
        Abstention(max_conflict),
        None if thresholds is None else np.array(thresholds),
        {modality: np.array(values) for modality, values in head_thresholds or ()},
    )
    return path


def resized(image_bytes):
    """The picture as the classifier sees it."""
    image = np.asarray(Image.open(io.BytesIO(image_bytes)).convert("RGB"))
    return np.clip(np.rint(tf.image.resize(tf.cast(image, tf.float32), IMAGE_SIZE, antialias=True)), 0, 255)


def _temporary_folder():
    folder = tempfile.mkdtemp(prefix="served_model_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
