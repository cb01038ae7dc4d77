"""The preparation of texts and pictures without TensorFlow Transform."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from hfmnas_keras.preparation.byte_pair import BytePair
from hfmnas_keras.preparation.labels import class_ids, class_marks
from hfmnas_keras.preparation.pictures import resized_pictures
from hfmnas_keras.preparation.word_piece import WordPiece
from hfmnas_keras.preparation.words import nothing_of_blanks, of_length, words_of

#: What a raw row is, as `hfmnas_keras.export.serving.export_saved_model` wants to know it.
RAW_FEATURES = {
    "text": tf.io.FixedLenFeature([], tf.string),
    "image": tf.io.FixedLenFeature([], tf.string),
    "labels": tf.io.VarLenFeature(tf.string),
}
_ROWS_AT_ONCE = 256


class Preparation(tf.Module):
    """Prepares rows of a text and a picture as the pipeline's Transform does, by the same operations.

    Args:
        classes: sequence of str, in the order of the class ids.
        multi_label: bool. Whether a row may have several classes, or none.
        image_size: pair of ints, height and width.
        max_tokens: int. Words of a text, or pieces of words.
        vocabulary: path of a file with a word a line; an asset of a SavedModel with this in it.
        interpolation: str. How pictures are resized, `"bilinear"` (default) or `"bicubic"`.
        tokenizer: optional dict: the arguments of `WordPiece` or, with `merges`, of `BytePair`, but `max_tokens` and
            `vocabulary`, whose file then holds the pieces. `None` (default): whole words; those that it lacks are one.

    Call arguments:
        features: dict of raw features, see `RAW_FEATURES`.

    Returns:
        dict: `tokens` int64 `(batch, max_tokens)`; `image` string `(batch, 1)`, a PNG each or empty where a picture
        cannot be read; `label` int64 `(batch, 1)`, or `labels` float32 `(batch, classes)` in multi-label sets.
    """

    def __init__(
        self,
        classes: Sequence[str],
        multi_label: bool,
        image_size: Sequence[int],
        max_tokens: int,
        vocabulary: str,
        interpolation: str = "bilinear",
        tokenizer: Mapping[str, Any] | None = None,
    ):
        super().__init__(name="preparation")
        self.classes = tuple(classes)
        self.multi_label = multi_label
        self.image_size = tuple(image_size)
        self.max_tokens = max_tokens
        self.interpolation = interpolation
        self._pieces: WordPiece | BytePair | None = None
        self._words: tf.lookup.StaticHashTable | None = None
        if tokenizer is not None:
            kind = BytePair if "merges" in tokenizer else WordPiece
            self._pieces = kind(vocabulary=vocabulary, max_tokens=max_tokens, **tokenizer)
            return
        with tf.io.gfile.GFile(vocabulary) as file:
            self.words = [line.rstrip("\n") for line in file]
        index = tf.lookup.TextFileIndex
        self._words = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(vocabulary, tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER),
            # After all words of the file; 0, one below the first, is padding.
            len(self.words),
        )

    def __call__(self, features: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        labels = features["labels"]
        marks = class_marks(tf.sparse.to_dense(labels) if isinstance(labels, tf.SparseTensor) else labels, self.classes)
        pictures = resized_pictures(features["image"], self.image_size, self.interpolation)
        return {
            "tokens": self._tokens(features["text"]),
            "image": tf.reshape(pictures, [-1, 1]),
            **({"labels": marks} if self.multi_label else {"label": class_ids(marks)}),
        }

    def _tokens(self, text: tf.Tensor) -> tf.Tensor:
        if self._words is None:
            return nothing_of_blanks(self._pieces(text), text)  # type: ignore[misc]
        words = words_of(text)
        return of_length(words.with_flat_values(self._words.lookup(words.flat_values) + 1), self.max_tokens)

    @property
    def vocabulary_size(self) -> int | None:
        """Token ids, padding and the one of unknown words counted; `None` with a tokenizer."""
        return None if self._words is None else len(self.words) + 2


def count_words(texts: Iterable[str]) -> tuple[collections.Counter[str], list[int]]:
    """How often each word occurs, and how many words each text has."""
    counts: collections.Counter[str] = collections.Counter()
    lengths = []
    texts = list(texts)
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        for words in words_of(tf.constant(texts[start : start + _ROWS_AT_ONCE], tf.string)).to_list():
            counts.update(word.decode("utf-8") for word in words)
            lengths.append(len(words))
    return counts, lengths
