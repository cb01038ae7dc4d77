"""Feature sets on disk: compressed TFRecords of tf.Example, with their shapes in a JSON file beside."""

from __future__ import annotations

import json
import os
import posixpath
import uuid
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.feature_set import FeatureSet

_VERSION = 1
_DESCRIPTION = "features.json"


def write_feature_set(feature_set: FeatureSet, folder: str | os.PathLike, rows_per_file: int = 4096) -> list[str]:
    """Writes a feature set as `features-00000-of-00002.gz` ... and `features.json`.

    Each file is written under a temporary name and then renamed, `features.json` last: a folder that has it is whole.

    Args:
        feature_set: `FeatureSet`.
        folder: made when missing, local or any path that TensorFlow's file system knows.
        rows_per_file: int. Defaults to `4096`.

    Returns:
        Paths of the record files.
    """
    folder = os.fspath(folder)
    tf.io.gfile.makedirs(folder)
    description_path = posixpath.join(folder, _DESCRIPTION)
    if tf.io.gfile.exists(description_path):
        # Not whole while its files are being replaced.
        tf.io.gfile.remove(description_path)
    starts = list(range(0, max(feature_set.num_rows, 1), rows_per_file))
    files: list[dict[str, Any]] = []
    for number, start in enumerate(starts):
        stop = min(start + rows_per_file, feature_set.num_rows)
        name = f"features-{number:05d}-of-{len(starts):05d}.gz"
        temporary = posixpath.join(folder, f".{name}.{uuid.uuid4().hex}")
        # Floats hardly compress: the fastest level is as small as the slowest.
        options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
        with tf.io.TFRecordWriter(temporary, options) as writer:
            for row in range(start, stop):
                writer.write(_example(feature_set, row).SerializeToString())
        tf.io.gfile.rename(temporary, posixpath.join(folder, name), overwrite=True)
        files.append({"name": name, "rows": stop - start})
    description = {
        "version": _VERSION,
        "features": {name: list(shape) for name, shape in feature_set.feature_shapes.items()},
        "num_classes": int(feature_set.labels.shape[1]) if feature_set.multi_label else None,
        "max_tokens": None if feature_set.tokens is None else int(feature_set.tokens.shape[1]),
        "files": files,
    }
    temporary = posixpath.join(folder, f".{_DESCRIPTION}.{uuid.uuid4().hex}")
    with tf.io.gfile.GFile(temporary, "w") as file:
        file.write(json.dumps(description, indent=1) + "\n")
    tf.io.gfile.rename(temporary, description_path, overwrite=True)
    return [posixpath.join(folder, file["name"]) for file in files]


def read_feature_set(folder: str | os.PathLike) -> FeatureSet:
    """Reads what `write_feature_set` wrote, rows in the same order.

    Raises:
        ValueError: when the folder holds no feature set of a known version.
        RuntimeError: when a file is missing, truncated or does not have the rows and shapes promised.
    """
    folder = os.fspath(folder)
    description = read_feature_description(folder)
    shapes = {name: tuple(shape) for name, shape in description["features"].items()}
    rows = sum(file["rows"] for file in description["files"])
    num_classes, max_tokens = description["num_classes"], description["max_tokens"]
    ids: list[str] = []
    # Filled batch by batch, so that a split is in memory once and not twice.
    features = {name: np.empty((rows, *shape), "float32") for name, shape in shapes.items()}
    labels = np.empty(rows, "int64") if num_classes is None else np.empty((rows, num_classes), "float32")
    tokens = None if max_tokens is None else np.empty((rows, max_tokens), "int64")
    for file in description["files"]:
        path = posixpath.join(folder, file["name"])
        found = 0
        for batch in _batches(path, _parsing_spec(shapes, num_classes, max_tokens)):
            start, stop = len(ids), len(ids) + len(batch["id"])
            found += len(batch["id"])
            if found > file["rows"]:
                break
            ids += [value.decode("utf-8") for value in batch["id"]]
            for name in shapes:
                features[name][start:stop] = batch[name]
            labels[start:stop] = batch["label" if num_classes is None else "labels"]
            if tokens is not None:
                tokens[start:stop] = batch["tokens"]
        if found != file["rows"]:
            raise RuntimeError(
                f"{path} has {found} rows{' or more' if found > file['rows'] else ''}, expected {file['rows']} by "
                f"{_DESCRIPTION}. Extract the features again."
            )
    return FeatureSet(np.array(ids, dtype=object).astype(str), features, labels, tokens)


def read_feature_description(folder: str | os.PathLike) -> dict[str, Any]:
    """Reads what a feature set on disk says of itself, without its rows.

    Returns:
        dict with `features`, shapes by name; `num_classes`, of multi-label sets, else None; `max_tokens`, or None; and
        `files`.

    Raises:
        ValueError: when the folder holds no feature set of a known version.
    """
    folder = os.fspath(folder)
    path = posixpath.join(folder, _DESCRIPTION)
    if not tf.io.gfile.exists(path):
        raise ValueError(f"{folder} holds no feature set: {_DESCRIPTION} is missing, or was never finished.")
    with tf.io.gfile.GFile(path) as file:
        try:
            description = json.loads(file.read())
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(description, dict) or description.get("version") != _VERSION:
        raise ValueError(f"{path} is not of version {_VERSION}. Extract the features again.")
    return description


def _example(feature_set: FeatureSet, row: int) -> tf.train.Example:
    feature: dict[str, Any] = {"id": _bytes_feature(str(feature_set.ids[row]).encode("utf-8"))}
    for name, array in feature_set.features.items():
        feature[name] = _float_feature(array[row])
    if feature_set.multi_label:
        feature["labels"] = _float_feature(feature_set.labels[row])
    else:
        feature["label"] = _int64_feature(feature_set.labels[row : row + 1])
    if feature_set.tokens is not None:
        feature["tokens"] = _int64_feature(feature_set.tokens[row])
    return tf.train.Example(features=tf.train.Features(feature=feature))


def _bytes_feature(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _float_feature(values: np.ndarray) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(values)))


def _int64_feature(values: np.ndarray) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=np.ravel(values)))


def _parsing_spec(shapes: dict[str, tuple[int, ...]], num_classes: int | None, max_tokens: int | None) -> dict:
    spec = {name: tf.io.FixedLenFeature(shape, tf.float32) for name, shape in shapes.items()}
    spec["id"] = tf.io.FixedLenFeature([], tf.string)
    if num_classes is None:
        spec["label"] = tf.io.FixedLenFeature([], tf.int64)
    else:
        spec["labels"] = tf.io.FixedLenFeature([num_classes], tf.float32)
    if max_tokens is not None:
        spec["tokens"] = tf.io.FixedLenFeature([max_tokens], tf.int64)
    return spec


def _batches(path: str, spec: dict) -> Any:
    dataset = tf.data.TFRecordDataset(path, compression_type="GZIP").batch(256)
    try:
        for serialized in dataset:
            yield {name: tensor.numpy() for name, tensor in tf.io.parse_example(serialized, spec).items()}
    except tf.errors.OpError as error:
        raise RuntimeError(
            f"Cannot read {path}: {error.message} The file is missing, cut off or damaged: extract the features again."
        ) from error
