"""Small models of clips as the pipeline makes them: raw examples, a TFT graph, a classifier, its SavedModel."""

import atexit
import functools
import os
import pathlib
import shutil
import tempfile

import keras
import numpy as np
import tensorflow as tf
import tensorflow_data_validation as tfdv
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io

from components.transform.preprocessing import preprocessing_fn
from hfmnas_keras.backbones.skeleton_backbone import skeleton_backbone
from hfmnas_keras.backbones.video_backbone import video_backbone
from hfmnas_keras.export.serving import export_saved_model
from hfmnas_keras.models.classifier import multimodal_classifier
from hfmnas_keras.settings.backbones import SkeletonBackboneSettings, VideoBackboneSettings

SCHEMAS = pathlib.Path(__file__).resolve().parents[1] / "schemas"
#: By source.
MODALITIES = {"ntu": ["skeleton", "video"], "egogesture": ["depth", "video"]}
CLASS_NAMES = {
    "ntu": ["drink water", "hand waving", "handshaking"],
    "egogesture": ["Static fist", "Wave hand", "Walk"],
}
CLIP_FRAMES, CLIP_SIZE, SKELETON_FRAMES = 4, (16, 16), 16
LENGTHS = (3, 7, 5, 1)


def settings(source="ntu"):
    """What Transform is told of the source."""
    common = {
        "classes": CLASS_NAMES[source],
        "multi_label": False,
        "modalities": MODALITIES[source],
        "clip_frames": CLIP_FRAMES,
        "clip_size": list(CLIP_SIZE),
    }
    return {**common, "skeleton_frames": SKELETON_FRAMES} if source == "ntu" else common


def raw_rows(source="ntu"):
    """Four clips of different lengths, as `tf.train.Example`s by the source's schema."""
    generator = np.random.default_rng(0)
    rows = []
    for number, length in enumerate(LENGTHS):
        frames = generator.integers(0, 256, (length, 20, 24, 3), dtype=np.uint8)
        row = {
            "id": [f"clip {number}".encode()],
            "labels": [CLASS_NAMES[source][number % 3].encode()],
            "video": [tf.io.encode_jpeg(frame).numpy() for frame in frames],
        }
        if source == "ntu":
            row["skeleton"] = generator.normal(1, 1, (2 * length, 2, 25, 3)).astype(np.float32)
        else:
            depths = generator.integers(0, 256, (length, 20, 24, 1), dtype=np.uint8)
            row["depth"] = [tf.io.encode_png(frame).numpy() for frame in depths]
        rows.append(row)
    return rows


def serialize(row, names=None):
    feature = {}
    for name in row if names is None else names:
        if name == "skeleton":
            feature[name] = tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(row[name])))
        else:
            feature[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=row[name]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@functools.cache
def transform_output(source="ntu"):
    """Runs TFT over the rows; returns its `TFTransformOutput`."""
    folder = _temporary_folder()
    metadata = dataset_metadata.DatasetMetadata(tfdv.load_schema_text(str(SCHEMAS / f"{source}.pbtxt")))
    rows = [{name: np.ravel(value) for name, value in row.items()} for row in raw_rows(source)]
    with tft_beam.Context(temp_dir=os.path.join(folder, "temp")):
        transform_fn = (rows, metadata) | tft_beam.AnalyzeDataset(
            functools.partial(preprocessing_fn, custom_config=settings(source))
        )
        _ = transform_fn | tft_beam.WriteTransformFn(os.path.join(folder, "transform"))
    # TFX's Transform adds the raw schema.
    metadata_io.write_metadata(metadata, os.path.join(folder, "transform", tft.TFTransformOutput.RAW_METADATA_DIR))
    return tft.TFTransformOutput(os.path.join(folder, "transform"))


@functools.cache
def tiny_classifier(source="ntu"):
    """Untrained backbones of both modalities and a plain fusion of their high taps."""
    keras.utils.set_random_seed(0)
    classes = len(CLASS_NAMES[source])
    video = VideoBackboneSettings(width=0.0625, blocks=(1, 1, 1, 1))
    if source == "ntu":
        first = skeleton_backbone((SKELETON_FRAMES, 2, 25, 3), classes, SkeletonBackboneSettings(width=0.125))
    else:
        first = video_backbone((CLIP_FRAMES, *CLIP_SIZE, 1), classes, video, grid=(4, 1), input_name="depth")
    backbones = {
        MODALITIES[source][0]: first,
        "video": video_backbone((CLIP_FRAMES, *CLIP_SIZE, 3), classes, video, grid=(4, 1)),
    }
    names = [f"{name}_high" for name in backbones]
    inputs = [keras.Input(backbones[name].output["high"].shape[1:], name=f"{name}_high") for name in backbones]
    logits = keras.layers.Dense(classes)(keras.layers.Concatenate()(inputs))
    fusion = keras.Model(dict(zip(names, inputs, strict=True)), logits)
    return multimodal_classifier(fusion, backbones, multi_label=False)


@functools.cache
def exported_model(source="ntu"):
    """Returns the folder of a SavedModel."""
    path = os.path.join(_temporary_folder(), "model")
    output = transform_output(source)
    layer, spec = output.transform_features_layer(), output.raw_feature_spec()
    export_saved_model(tiny_classifier(source), layer, spec, CLASS_NAMES[source], False, path)
    return path


def _temporary_folder():
    folder = tempfile.mkdtemp(prefix="served_clips_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
