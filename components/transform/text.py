"""Texts to token ids."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components.transform.raw_features import as_dense
from components.transform.wordpiece import WordPiece

VOCABULARY, PIECES = "text_vocabulary", "text_pieces"
PADDING_ID = 0


def prepare_texts(
    text: tf.Tensor, max_tokens: int, min_frequency: int, tokenizer: Mapping[str, Any] | None = None
) -> tf.Tensor:
    """Turns texts to ids, to `(batch, max_tokens)`: of the train split's words or, with a tokenizer, of its pieces."""
    if tokenizer is not None:
        tft.annotate_asset(PIECES, os.path.basename(tokenizer["vocabulary"]))
        arguments = {name: value for name, value in tokenizer.items() if name != "sha256"}
        return WordPiece(max_tokens=max_tokens, **arguments)(tf.reshape(as_dense(text), [-1]))
    ids = tft.compute_and_apply_vocabulary(
        words_of(tf.reshape(as_dense(text), [-1])).to_sparse(),
        frequency_threshold=min_frequency,
        num_oov_buckets=1,
        vocab_filename=VOCABULARY,
    )
    # Shifted by one: 0 is padding.
    ids = tf.SparseTensor(ids.indices, ids.values + 1, ids.dense_shape)
    dense = tf.sparse.to_dense(ids, default_value=PADDING_ID)[:, :max_tokens]
    dense = tf.pad(dense, [[0, 0], [0, max_tokens - tf.shape(dense)[1]]], constant_values=PADDING_ID)
    return tf.ensure_shape(dense, [None, max_tokens])


def words_of(text: tf.Tensor) -> tf.RaggedTensor:
    """Splits texts into lower-case words.

    Args:
        text: string tensor of shape `(batch,)`.

    Returns:
        Ragged string tensor of shape `(batch, words)`.
    """
    # Replaces what is not UTF-8, which the regular expressions below would not match.
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace", replacement_char=32)
    text = tf.strings.lower(text, encoding="utf-8")
    # These scripts write no blanks between words.
    text = tf.strings.regex_replace(text, r"([\p{Han}\p{Hiragana}\p{Katakana}])", r" \1 ")
    text = tf.strings.regex_replace(text, r"[^\p{L}\p{M}\p{N}]+", " ")
    return tf.strings.split(text)


def vocabulary_size(tf_transform_output: tft.TFTransformOutput) -> int:
    """Returns the number of token ids: of a tokenizer its pieces, else padding, the words and one for all others.

    Args:
        tf_transform_output: tft.TFTransformOutput of the Transform that ran `preprocessing_fn`.

    Returns:
        int. Ids go from 0 to one less.
    """
    if tf_transform_output.vocabulary_file_by_name(PIECES) is not None:
        return tf_transform_output.vocabulary_size_by_name(PIECES)
    return 1 + tf_transform_output.vocabulary_size_by_name(VOCABULARY) + 1
