"""The text backbone: a maxout network over the sum of word vectors (HF-MNAS, Eq. 8-9)."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from absl import logging

from hfmnas_keras.backbones.maxout import Maxout
from hfmnas_keras.backbones.text_vector import SCALE, TextVector
from hfmnas_keras.backbones.word_vectors import read_word_vectors
from hfmnas_keras.layers.normalization import batch_normalization
from hfmnas_keras.settings.backbones import TextBackboneSettings


def text_backbone(
    vocabulary_size: int,
    max_tokens: int,
    num_outputs: int,
    settings: TextBackboneSettings | None = None,
    vocabulary: Sequence[str] | None = None,
    subword_vocabulary_size: int = 0,
    max_subwords: int = 0,
) -> keras.Model:
    """Builds the Maxout MLP with its two taps and its head (docs/method.md, section 3).

    Word vectors, added up by rarity (`TextVector`) -> Maxout(64) -> BN -> dropout -> Maxout(128) -> BN -> dropout ->
    Dense. The taps are the two Maxout outputs, before normalisation. What follows the high tap is one sub-model named
    `head`. Sub-words, where there are any, have vectors of their own, which are added up apart.

    Args:
        vocabulary_size: int. Number of token ids: padding 0, the words from 1, and the out-of-vocabulary bucket.
        max_tokens: int. Length of the token sequences.
        num_outputs: int. Classes or labels.
        settings: `TextBackboneSettings`. Defaults to the paper's.
        vocabulary: words in the order of their ids from 1. Needed with `settings.word_vectors`.
        subword_vocabulary_size: int. Number of sub-word ids, of the same form. Defaults to `0`, as the next one.
        max_subwords: int. Length of the sequences of sub-words, which stand after the tokens. `0`: there are none.

    Returns:
        `keras.Model` from `tokens`, int64 `(batch, max_tokens + max_subwords)`, to a dict of `low` `(batch, 64)`,
        `high` `(batch, 128)` and `logits` `(batch, num_outputs)`.

    Raises:
        ValueError: when word vectors are asked for without a vocabulary, or the vocabulary has more words than ids.
    """
    settings = settings or TextBackboneSettings()
    low_units, high_units = settings.hidden_units
    tokens = keras.Input((max_tokens + max_subwords,), dtype="int64", name="tokens")
    word_vector = TextVector(
        vocabulary_size, settings.embedding_dim, settings.token_dropout, (0, max_tokens), name="word_vector"
    )
    text_vector = word_vector(tokens)
    if max_subwords:
        subword_vector = TextVector(
            subword_vocabulary_size,
            settings.embedding_dim,
            settings.token_dropout,
            (max_tokens, max_tokens + max_subwords),
            # As in the vocabulary: a fold has to leave out what one of its rows alone has, too.
            min_rows=2,
            name="subword_vector",
        )
        text_vector = keras.layers.Add(name="text_vector")([text_vector, subword_vector(tokens)])
    low = Maxout(low_units, settings.pieces, name="low_maxout")(text_vector)
    hidden = batch_normalization(affine=True, dtype=None, name="low_normalization")(low)
    hidden = keras.layers.Dropout(settings.dropout, name="low_dropout")(hidden)
    high = Maxout(high_units, settings.pieces, name="high_maxout")(hidden)
    head = keras.Sequential(
        [
            keras.Input((high_units,), name="head_input"),
            batch_normalization(affine=True, dtype=None, name="high_normalization"),
            keras.layers.Dropout(settings.dropout, name="high_dropout"),
            keras.layers.Dense(num_outputs, dtype="float32", name="logits"),
        ],
        name="head",
    )
    backbone = keras.Model(tokens, {"low": low, "high": high, "logits": head(high)}, name="text_backbone")
    if settings.word_vectors is not None:
        _load_word_vectors(word_vector, settings.word_vectors, vocabulary)
    return backbone


def _load_word_vectors(word_vector: TextVector, path: str, vocabulary: Sequence[str] | None) -> None:
    if vocabulary is None:
        raise ValueError(f"`word_vectors={path!r}` needs the vocabulary. Pass `vocabulary`, the words from id 1 on.")
    if len(vocabulary) + 1 > word_vector.vocabulary_size:
        raise ValueError(
            f"A vocabulary of {len(vocabulary)} words and the padding do not fit "
            f"`vocabulary_size={word_vector.vocabulary_size}`."
        )
    vectors, found = read_word_vectors(path, vocabulary, word_vector.embedding_dim)
    # A copy, by way of Keras: NumPy 2 cannot copy a variable itself.
    table = np.array(keras.ops.convert_to_numpy(word_vector.embedding.embeddings))
    # Words that the file lacks keep their random vectors.
    table[1 : len(vocabulary) + 1][found] = vectors[found] / SCALE
    word_vector.embedding.embeddings.assign(table)
    logging.info("Word vectors: %d of %d words found in %s.", found.sum(), len(vocabulary), path)
