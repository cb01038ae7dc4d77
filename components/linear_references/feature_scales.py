"""What features of one modality need to know of the train split."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from components.words import words_of_text

#: Words of the train split that are kept, the most frequent ones.
MAX_WORDS = 50_000
_TFIDF = {"tokenizer": words_of_text, "token_pattern": None, "lowercase": False, "dtype": np.float32}


@dataclasses.dataclass(frozen=True)
class TextScale:
    """Tf-idf of words, scikit-learn's, with what it learnt in plain arrays.

    Args:
        words: tuple of str, in the order of the columns.
        idf: float32 array `(words,)`.
    """

    words: tuple[str, ...]
    idf: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str]) -> TextScale:
        """Learns the words of `texts` and how rare they are."""
        vectorizer = TfidfVectorizer(max_features=MAX_WORDS, **_TFIDF)
        if not any(map(words_of_text, texts)):
            # scikit-learn wants a word; this one no text has.
            return cls(("",), np.ones(1, "float32"))
        vectorizer.fit(texts)
        return cls(tuple(vectorizer.get_feature_names_out().tolist()), vectorizer.idf_.astype("float32"))

    def __call__(self, texts: Sequence[str]) -> scipy.sparse.csr_matrix:
        """Returns the features `(rows, words)`, float32, rows of unit length."""
        vectorizer = TfidfVectorizer(vocabulary=dict(zip(self.words, range(len(self.words)), strict=True)), **_TFIDF)
        vectorizer.idf_ = self.idf
        return vectorizer.transform(texts)


@dataclasses.dataclass(frozen=True)
class NumberScale:
    """Numbers less their mean, in units of their deviation.

    Args:
        mean, deviation: float32 arrays `(numbers,)`.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> NumberScale:
        """Learns mean and deviation; what never changes has deviation 1."""
        deviation = rows.std(axis=0)
        return cls(rows.mean(axis=0), np.where(deviation > 1e-6, deviation, 1.0).astype("float32"))

    @classmethod
    def nothing(cls, rows: np.ndarray) -> NumberScale:
        """Leaves numbers as they are."""
        return cls(np.zeros(rows.shape[1], "float32"), np.ones(rows.shape[1], "float32"))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return (rows - self.mean) / self.deviation


def scale_of(modality: str, column: Any) -> TextScale | NumberScale:
    """Learns from a modality's train rows what its features need.

    Args:
        modality: str.
        column: list of str, or float32 array `(rows, numbers)`; see `RawRows`.

    Returns:
        `TextScale` for `"text"`, else `NumberScale`. The parts of a picture have unit length already.
    """
    if modality == "text":
        return TextScale.of(column)
    return NumberScale.nothing(column) if modality == "image" else NumberScale.of(column)
