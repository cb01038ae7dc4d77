"""Examples as Transform leaves them: id, picture as lossless PNG, token ids, label."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class TransformedExamples:
    """The rows of one split, pictures still encoded: some KiB each, so that a large split fits into memory.

    Args:
        ids: array of str, `(rows,)`.
        encoded_images: array of bytes (PNG), `(rows,)`.
        tokens: int64 array `(rows, max_tokens)`, 0 is padding.
        labels: int64 array `(rows,)` of class ids, or float32 `(rows, classes)`, multi-hot.
    """

    ids: np.ndarray
    encoded_images: np.ndarray
    tokens: np.ndarray
    labels: np.ndarray

    @property
    def num_rows(self) -> int:
        return len(self.ids)

    @property
    def multi_label(self) -> bool:
        return self.labels.ndim == 2

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and the 3 channels, read from the first picture."""
        return tuple(decode_image(tf.constant(self.encoded_images[0])).shape)

    def images(self) -> np.ndarray:
        """All pictures decoded, uint8 `(rows, height, width, 3)`."""
        images = np.empty((self.num_rows, *self.image_shape), "uint8")
        for row, encoded in enumerate(self.encoded_images):
            images[row] = decode_image(tf.constant(encoded)).numpy()
        return images

    def joined(self, other: TransformedExamples) -> TransformedExamples:
        """The rows of both, this one's first (for the retraining on train + dev)."""
        names = [field.name for field in dataclasses.fields(self)]
        return TransformedExamples(
            **{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in names}
        )


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """RGB picture of a PNG, uint8 `(height, width, 3)`."""
    return tf.io.decode_png(encoded, channels=3)


def read_transformed_examples(file_patterns: str | Iterable[str]) -> TransformedExamples:
    """Reads transformed examples, in a stable order: by file name, then by position.

    Whether they are single- or multi-label follows from the feature they have: `label` or `labels`.

    Args:
        file_patterns: one or more patterns of compressed TFRecord files, such as `".../Split-train/*"`.

    Raises:
        ValueError: when no file matches, or there is no row.
        RuntimeError: when a file is cut off, or a row does not have the features of the first.
    """
    patterns = [file_patterns] if isinstance(file_patterns, str) else list(file_patterns)
    files = sorted({path for pattern in patterns for path in tf.io.gfile.glob(pattern)})
    if not files:
        raise ValueError(f"No file matches {patterns}.")
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP")
    ids: list[str] = []
    columns: dict[str, list[np.ndarray]] = {"image": [], "tokens": [], "label": []}
    spec: dict | None = None
    try:
        for serialized in dataset.batch(256):
            if spec is None:
                spec = _parsing_spec(serialized[0].numpy(), files[0])
            batch = tf.io.parse_example(serialized, spec)
            ids += [value.decode("utf-8") for value in batch["id"].numpy()]
            columns["image"].append(batch["image"].numpy())
            columns["tokens"].append(batch["tokens"].numpy())
            columns["label"].append(batch["label" if "label" in spec else "labels"].numpy())
    except tf.errors.OpError as error:
        raise RuntimeError(f"Cannot read the examples of {patterns}: {error.message}") from error
    if not ids:
        raise ValueError(f"The {len(files)} files of {patterns} hold no example.")
    return TransformedExamples(
        ids=np.array(ids),
        encoded_images=np.concatenate(columns["image"]),
        tokens=np.concatenate(columns["tokens"]),
        labels=np.concatenate(columns["label"]),
    )


def _parsing_spec(serialized: bytes, path: str) -> dict:
    features = tf.train.Example.FromString(serialized).features.feature
    label = next((name for name in ("label", "labels") if name in features), None)
    missing = [name for name in ("id", "image", "tokens") if name not in features]
    if missing or label is None:
        raise ValueError(
            f"The first example of {path} has the features {sorted(features)}. Expected id, image, tokens, and label "
            "or labels: these are not transformed examples."
        )
    spec = {
        "id": tf.io.FixedLenFeature([], tf.string),
        "image": tf.io.FixedLenFeature([], tf.string),
        "tokens": tf.io.FixedLenFeature([len(features["tokens"].int64_list.value)], tf.int64),
    }
    if label == "label":
        spec["label"] = tf.io.FixedLenFeature([], tf.int64)
    else:
        spec["labels"] = tf.io.FixedLenFeature([len(features["labels"].float_list.value)], tf.float32)
    return spec
