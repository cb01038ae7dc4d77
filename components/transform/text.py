"""Texts to token ids."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components.transform.raw_features import as_dense
from hfmnas_keras.backbones.encoder_folder import encoder_home
from hfmnas_keras.preparation.byte_pair import BytePair
from hfmnas_keras.preparation.word_piece import WordPiece
from hfmnas_keras.preparation.words import nothing_of_blanks, of_length, words_of

VOCABULARY, PIECES = "text_vocabulary", "text_pieces"
SUBWORD_VOCABULARY = "text_subword_vocabulary"
#: Characters of a sub-word, a mark before and after each word counted.
SUBWORD_LENGTH = 4
# A sub-word of one word alone says no more than the word.
_SUBWORD_FREQUENCY = 2
# Each has a vector in the served model.
_MOST_SUBWORDS = 1 << 15


def prepare_texts(
    text: tf.Tensor, max_tokens: int, min_frequency: int, tokenizer: Mapping[str, Any] | None = None
) -> tf.Tensor:
    """Turns texts to ids, to `(batch, max_tokens)`: of the train split's words or, with a tokenizer, of its pieces."""
    if tokenizer is not None:
        tft.annotate_asset(PIECES, os.path.basename(tokenizer["vocabulary"]))
        arguments = {name: value for name, value in tokenizer.items() if name != "sha256"}
        for name in ("vocabulary", "merges"):
            if name in arguments:
                arguments[name] = str(encoder_home() / arguments[name])
        kind = BytePair if "merges" in arguments else WordPiece
        texts = tf.reshape(as_dense(text), [-1])
        return nothing_of_blanks(kind(max_tokens=max_tokens, **arguments)(texts), texts)
    ids = tft.compute_and_apply_vocabulary(
        words_of(tf.reshape(as_dense(text), [-1])).to_sparse(),
        frequency_threshold=min_frequency,
        num_oov_buckets=1,
        vocab_filename=VOCABULARY,
    )
    # Shifted by one: 0 is padding.
    return of_length(tf.RaggedTensor.from_sparse(ids) + 1, max_tokens)


def prepare_subwords(text: tf.Tensor, max_subwords: int, tokenizer: Any = None) -> tf.Tensor | None:
    """Turns texts to the ids of their words' parts of `SUBWORD_LENGTH` characters, to `(batch, max_subwords)`.

    `None` where `max_subwords` is 0, or where a tokenizer makes parts of its own.

    Parts of the word `fish` are `<fis`, `fish` and `ish>`. Words that no train row has are so told by their parts that
    train rows have. Other parts are left out: 0 is padding, the most frequent part is 1, and the last id is unused.
    """
    if not max_subwords or tokenizer is not None:
        return None
    words = words_of(tf.reshape(as_dense(text), [-1]))
    letters = tf.strings.unicode_split(words.with_values(tf.strings.join(["<", words.values, ">"])), "UTF-8")
    parts = tf.strings.ngrams(letters, SUBWORD_LENGTH, separator="").merge_dims(1, 2)
    ids = tft.compute_and_apply_vocabulary(
        parts.to_sparse(),
        default_value=-1,
        frequency_threshold=_SUBWORD_FREQUENCY,
        top_k=_MOST_SUBWORDS,
        vocab_filename=SUBWORD_VOCABULARY,
    )
    ids = tf.RaggedTensor.from_sparse(ids)
    return of_length(tf.ragged.boolean_mask(ids, ids >= 0) + 1, max_subwords)


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


def subword_vocabulary_size(tf_transform_output: tft.TFTransformOutput) -> int:
    """Returns the number of sub-word ids: padding, the vocabulary's, and an unused last one. See `vocabulary_size`."""
    return 1 + tf_transform_output.vocabulary_size_by_name(SUBWORD_VOCABULARY) + 1
