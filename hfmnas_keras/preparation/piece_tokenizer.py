"""What the tokenizers of pre-trained encoders share: words, their pieces, and the marks around them."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Marks(NamedTuple):
    """The pieces of a vocabulary that are no part of a text."""

    padding: str
    unknown: str
    start: str
    end: str


class PieceTokenizer(tf.Module):
    """Base of the tokenizers that turn texts into ids of pieces of words, between two marks.

    A subclass states `words` and `_split`.

    Args:
        name: str. Of the module.
        vocabulary: str. Path of a file with a piece a line, the padding's first.
        max_tokens: int. Length of the result, at least 2.
        marks: `Marks`, as the vocabulary has them.

    Call arguments:
        text: string tensor `(batch,)`, UTF-8; what is none is dropped.

    Returns:
        int64 tensor `(batch, max_tokens)`, filled up with 0.

    Raises:
        ValueError: when the vocabulary lacks one of the four marks, or `max_tokens` is too small.
    """

    def __init__(self, name: str, vocabulary: str, max_tokens: int, marks: Marks):
        super().__init__(name=name)
        if max_tokens < 2:
            raise ValueError(f"`max_tokens` must hold {marks.start} and {marks.end}. Received: {max_tokens}.")
        self._max_tokens = max_tokens
        with tf.io.gfile.GFile(vocabulary) as file:
            ids = {piece.rstrip("\n"): number for number, piece in enumerate(file)}
        if not {marks.unknown, marks.start, marks.end} <= ids.keys() or ids.get(marks.padding) != 0:
            raise ValueError(
                f"The vocabulary {vocabulary!r} must have {marks.padding} in its first line, and {marks.unknown}, "
                f"{marks.start}, {marks.end}."
            )
        self._unknown, self._start, self._end = ids[marks.unknown], ids[marks.start], ids[marks.end]

    def __call__(self, text: tf.Tensor) -> tf.Tensor:
        # Every word makes a piece at least, so that more words than fit need not be split.
        words = self.words(text)[:, : self._max_tokens - 2]
        unique, places = tf.unique(words.flat_values)
        pieces = tf.gather(self._split(unique), words.with_flat_values(places)).merge_dims(1, 2)
        pieces = pieces[:, : self._max_tokens - 2]
        one = tf.ones([pieces.nrows(), 1], tf.int64)
        ids = tf.concat([self._start * one, pieces, self._end * one], axis=1)
        return tf.ensure_shape(ids.to_tensor(0, shape=[None, self._max_tokens]), [None, self._max_tokens])

    def words(self, text: tf.Tensor) -> tf.RaggedTensor:
        """The words of texts `(batch,)` before they are looked up, `(batch, words)`."""
        raise NotImplementedError(f"`{type(self).__name__}` must state `words`.")

    def _split(self, words: tf.Tensor) -> tf.RaggedTensor:
        """The pieces of words `(words,)`, as ids, `(words, pieces)`."""
        raise NotImplementedError(f"`{type(self).__name__}` must state `_split`.")


def line_numbers(path: str, default: int) -> tf.lookup.StaticHashTable:
    """Table from the lines of a file, an asset of a SavedModel, to their numbers; `default` for what is none."""
    index = tf.lookup.TextFileIndex
    initializer = tf.lookup.TextFileInitializer(path, tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER)
    return tf.lookup.StaticHashTable(initializer, default)
