"""Examples as Transform leaves them: id, both modalities, label."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.decoded_rows import DecodedRows
from hfmnas_keras.data.modalities import MODALITIES, SUBWORDS


@dataclasses.dataclass(frozen=True)
class TransformedExamples:
    """The rows of one split, pictures still encoded: some KiB each, so that a large split fits into memory.

    Args:
        ids: array of str, `(rows,)`.
        columns: dict from modality to array `(rows, ...)`, as `hfmnas_keras.data.modalities` describes them after
            Transform: of `"image"` bytes (PNG), of `"text"` int64 token ids, 0 being padding, and, side by side, those
            of sub-words where there are any.
        labels: int64 array `(rows,)` of class ids, or float32 `(rows, classes)`, multi-hot.
        max_tokens: int or None. Columns of `"text"` that are words. `None` (default): all.
    """

    ids: np.ndarray
    columns: dict[str, np.ndarray]
    labels: np.ndarray
    max_tokens: int | None = None

    def __repr__(self) -> str:
        columns = ", ".join(f"{name} {column.shape[1:]}" for name, column in self.columns.items())
        return f"TransformedExamples({self.num_rows} rows: {columns})"

    @property
    def num_rows(self) -> int:
        return len(self.ids)

    @property
    def multi_label(self) -> bool:
        return self.labels.ndim == 2

    @property
    def tokens(self) -> np.ndarray | None:
        """Ids of words `(rows, max_tokens)`; `None` where no modality is a text."""
        return self.columns["text"][:, : self.max_tokens] if "text" in self.columns else None

    def lacking(self) -> dict[str, np.ndarray]:
        """Which rows lack a modality, bool `(rows,)` by modality."""
        return {name: MODALITIES[name].lacking(column) for name, column in self.columns.items()}

    def inputs(self) -> dict[str, np.ndarray | DecodedRows]:
        """What the backbones read, `(rows, ...)` by modality; pictures are uint8. Rows that lack it have anything."""
        return {name: MODALITIES[name].rows(column) for name, column in self.columns.items()}

    def joined(self, other: TransformedExamples) -> TransformedExamples:
        """The rows of both, this one's first (for the retraining on train + dev)."""
        return TransformedExamples(
            ids=np.concatenate([self.ids, other.ids]),
            columns={name: np.concatenate([column, other.columns[name]]) for name, column in self.columns.items()},
            labels=np.concatenate([self.labels, other.labels]),
            max_tokens=self.max_tokens,
        )


def read_transformed_examples(file_patterns: str | Iterable[str]) -> TransformedExamples:
    """Reads transformed examples, in a stable order: by file name, then by position.

    Which modalities they are of, and whether they are single- or multi-label (`label` or `labels`), follows from the
    features of the first one.

    Args:
        file_patterns: one or more patterns of compressed TFRecord files, such as `".../Split-train/*"`.

    Raises:
        ValueError: when no file matches, there is no row, or the rows are no transformed examples.
        RuntimeError: when a file is cut off, or a row does not have the features of the first.
    """
    patterns = [file_patterns] if isinstance(file_patterns, str) else list(file_patterns)
    files = sorted({path for pattern in patterns for path in tf.io.gfile.glob(pattern)})
    if not files:
        raise ValueError(f"No file matches {patterns}.")
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP")
    batches: dict[str, list[np.ndarray]] = {}
    spec: dict | None = None
    try:
        for serialized in dataset.batch(256):
            if spec is None:
                spec = _parsing_spec(serialized[0].numpy(), files[0])
            for name, values in tf.io.parse_example(serialized, spec).items():
                batches.setdefault(name, []).append(values.numpy())
    except tf.errors.OpError as error:
        raise RuntimeError(f"Cannot read the examples of {patterns}: {error.message}") from error
    if spec is None:
        raise ValueError(f"The {len(files)} files of {patterns} hold no example.")
    arrays = {name: np.concatenate(parts) for name, parts in batches.items()}
    return transformed_examples(
        arrays["id"],
        arrays,
        [modality.name for modality in MODALITIES.values() if modality.input_name in arrays],
        arrays["label" if "label" in arrays else "labels"],
    )


def transformed_examples(
    ids: np.ndarray, features: Mapping[str, np.ndarray], modalities: Iterable[str], labels: np.ndarray
) -> TransformedExamples:
    """Rows from the features that Transform made of them.

    Args:
        ids: array of bytes, `(rows,)`.
        features: arrays `(rows, ...)` by name of the feature.
        modalities: names of the modalities to take.
        labels: array `(rows,)` or `(rows, classes)`.
    """
    return TransformedExamples(
        ids=np.array([value.decode("utf-8") for value in ids]),
        columns={name: MODALITIES[name].of_transformed(features) for name in modalities},
        labels=labels,
        max_tokens=features["tokens"].shape[1] if "text" in modalities else None,
    )


def _parsing_spec(serialized: bytes, path: str) -> dict:
    features = tf.train.Example.FromString(serialized).features.feature
    label = next((name for name in ("label", "labels") if name in features), None)
    spec = {
        modality.input_name: modality.transformed_feature(features[modality.input_name])
        for modality in MODALITIES.values()
        if modality.input_name in features
    }
    if "id" not in features or label is None or not spec:
        raise ValueError(
            f"The first example of {path} has the features {sorted(features)}. Expected id, label or labels, and one "
            f"or more of {', '.join(modality.input_name for modality in MODALITIES.values())}: these are not "
            "transformed examples."
        )
    if SUBWORDS in features:
        spec[SUBWORDS] = MODALITIES["text"].transformed_feature(features[SUBWORDS])
    spec["id"] = tf.io.FixedLenFeature([], tf.string)
    if label == "label":
        spec["label"] = tf.io.FixedLenFeature([], tf.int64)
    else:
        spec["labels"] = tf.io.FixedLenFeature([len(features["labels"].float_list.value)], tf.float32)
    return spec
