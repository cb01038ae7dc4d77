"""Simple features of pictures and texts for the scikit-learn reference: no network, no pre-training."""

from __future__ import annotations

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

_CELLS, _ORIENTATIONS, _COLOURS = 8, 9, 4


def picture_features(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients in 8 x 8 cells, and of colours in the whole picture.

    Args:
        images: uint8 array `(rows, height, width, 3)`; both sides multiples of 8.

    Returns:
        float32 array `(rows, 8 * 8 * 9 + 64)`; each of the two parts has unit length.
    """
    grey = images.mean(axis=-1)
    vertical, horizontal = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(vertical, horizontal)
    orientation = (np.arctan2(vertical, horizontal) % np.pi / np.pi * _ORIENTATIONS).astype(int) % _ORIENTATIONS
    rows, height, width = grey.shape
    by_orientation = strength[..., None] * (orientation[..., None] == np.arange(_ORIENTATIONS))
    gradients = by_orientation.reshape(rows, _CELLS, height // _CELLS, _CELLS, width // _CELLS, _ORIENTATIONS).sum(
        axis=(2, 4)
    )
    levels = images.astype(int) * _COLOURS // 256
    codes = (levels[..., 0] * _COLOURS + levels[..., 1]) * _COLOURS + levels[..., 2]
    colours = np.stack([np.bincount(code.ravel(), minlength=_COLOURS**3) for code in codes])
    parts = [_unit_length(np.sqrt(part.reshape(rows, -1))) for part in (gradients, colours)]
    return np.concatenate(parts, axis=1).astype("float32")


def text_features(train_texts: list[str], *others: list[str]) -> list[np.ndarray]:
    """Tf-idf of words, fitted on the train texts alone.

    Args:
        train_texts: texts that make the vocabulary.
        *others: lists of texts to turn to features with it.

    Returns:
        One float array `(rows, words)` for `train_texts` and for each of `others`.
    """
    vectorizer = TfidfVectorizer().fit(train_texts)
    return [vectorizer.transform(texts).toarray() for texts in (train_texts, *others)]


def _unit_length(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
