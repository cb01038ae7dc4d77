"""Texts to words."""

from __future__ import annotations

import tensorflow as tf

from hfmnas_keras.preparation.scripts import UNSPACED

PADDING_ID = 0
_UNSPACED = "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in UNSPACED)


def words_of(text: tf.Tensor) -> tf.RaggedTensor:
    """Splits texts into lower-case words, as `components.words.words_of_text` does.

    Args:
        text: string tensor of shape `(batch,)`.

    Returns:
        Ragged string tensor of shape `(batch, words)`.
    """
    # Replaces what is not UTF-8, which the regular expressions below would not match.
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace", replacement_char=32)
    text = tf.strings.lower(text, encoding="utf-8")
    # These scripts write no blanks between words.
    text = tf.strings.regex_replace(text, rf"([{_UNSPACED}]\p{{M}}*)", r" \1 ")
    text = tf.strings.regex_replace(text, r"[^\p{L}\p{M}\p{N}]+", " ")
    return tf.strings.split(text)


def of_length(ids: tf.RaggedTensor, length: int) -> tf.Tensor:
    """Ids `(batch, any number)` cut off, or filled up with padding, to `(batch, length)`."""
    return tf.ensure_shape(ids.to_tensor(PADDING_ID, shape=[None, length]), [None, length])


def nothing_of_blanks(ids: tf.Tensor, text: tf.Tensor) -> tf.Tensor:
    """Token ids `(batch, tokens)` without a tokenizer's marks where the text `(batch,)` is empty: it is not there."""
    return tf.where(tf.strings.regex_full_match(text, r"[\s\v\p{Z}]*")[:, tf.newaxis], tf.zeros_like(ids), ids)
