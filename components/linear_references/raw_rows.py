"""Rows as linear models read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components.linear_references.row_features import ROW_FEATURES
from hfmnas_keras.data.modalities import MODALITIES


@dataclasses.dataclass(frozen=True)
class RawRows:
    """Rows of one split.

    Args:
        columns: dict from modality to its rows: a list of str for `"text"`, else a float32 array `(rows, numbers)`.
        labels: int array `(rows,)` of class numbers, or float array `(rows, classes)`, multi-hot.
    """

    columns: dict[str, Any]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def make_raw_rows(
    rows: Iterable[tuple[dict[str, Any], Sequence[str]]],
    modalities: Sequence[str],
    class_names: Sequence[str],
    multi_label: bool,
) -> RawRows:
    """Returns rows from their raw values and the names of their classes.

    Args:
        rows: iterable of pairs: a dict of raw values by modality, as `Source.features` gives them, and class names.
        modalities: sequence of str. Those of `ROW_FEATURES` are read, others left out.
        class_names: sequence of str, in the order of the outputs.
        multi_label: bool.

    Returns:
        `RawRows`.

    Raises:
        ValueError: when there is no row, or a row has a class that is not among `class_names`.
    """
    known = [modality for modality in modalities if modality in ROW_FEATURES]
    values: dict[str, list[Any]] = {modality: [] for modality in known}
    labels = []
    numbers = {name: number for number, name in enumerate(class_names)}
    for features, names in rows:
        if unknown := [name for name in names if name not in numbers]:
            raise ValueError(f"A row has the classes {unknown}, which are not among {list(class_names)}.")
        for modality in known:
            values[modality].append(ROW_FEATURES[modality](features[modality]))
        labels.append([numbers[name] for name in names])
    if not labels:
        raise ValueError("There is no row to fit or to score a linear model with.")
    columns = {name: column if name == "text" else np.stack(column) for name, column in values.items()}
    if not multi_label:
        return RawRows(columns, np.array([row[0] for row in labels]))
    hot = np.zeros((len(labels), len(class_names)), "float32")
    for row, its_classes in enumerate(labels):
        hot[row, its_classes] = 1.0
    return RawRows(columns, hot)


def read_raw_rows(
    folders: Iterable[str],
    modalities: Sequence[str],
    class_names: Sequence[str],
    multi_label: bool,
    largest: int | None = None,
) -> RawRows:
    """Reads a split of raw `Examples`.

    Args:
        folders: iterable of str. The split's folders.
        modalities, class_names, multi_label: see `make_raw_rows`.
        largest: int or None. Most rows that are read; the ingest has mixed them. `None` (default): all.

    Returns:
        `RawRows`.
    """
    files = sorted(file for folder in folders for file in tf.io.gfile.glob(f"{folder}/*"))
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP")
    records = dataset.take(-1 if largest is None else largest).as_numpy_iterator()
    return make_raw_rows(map(_raw_values, records), modalities, class_names, multi_label)


def _raw_values(record: bytes) -> tuple[dict[str, Any], Sequence[str]]:
    features = tf.train.Example.FromString(record).features.feature
    values = {name: _value(name, features[name]) for name in ROW_FEATURES if name in features}
    return values, [name.decode("utf-8") for name in features["labels"].bytes_list.value]


def _value(modality: str, feature: tf.train.Feature) -> Any:
    spec = MODALITIES[modality].example_feature
    if spec.dtype == tf.float32:
        return np.array(feature.float_list.value, "float32")
    values = list(feature.bytes_list.value)
    return values if isinstance(spec, tf.io.VarLenFeature) else values[0]
