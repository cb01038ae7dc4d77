"""RoBERTa's tokenizer of operations that TensorFlow itself has, so that a model with it in serves without libraries."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from hfmnas_keras.preparation.piece_tokenizer import Marks, PieceTokenizer, line_numbers

_MARKS = Marks("<pad>", "<unk>", "<s>", "</s>")
#: In bytes; what a longer word has beyond is left out.
LONGEST_WORD = 1024
# White space as Unicode has it. The regular expressions of TensorFlow know that of ASCII alone.
_BLANK = r"\t\n\v\f\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
# No text in UTF-8 has this byte.
_END_OF_WORD = b"\xff"
# In a run of blanks before a word the last one is the word's. GPT-2 says so by looking ahead, which is not to be had.
_LAST_BLANK = f"([{_BLANK}]+)([{_BLANK}][^{_BLANK}])"
_WORD = rf"('s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?\p{{N}}+| ?[^{_BLANK}\p{{L}}\p{{N}}]+|[{_BLANK}]+)"
# The rank of two symbols that do not merge.
_NONE = 1 << 40


class BytePair(PieceTokenizer):
    """Turns texts into ids of pieces of words as the tokenizer of RoBERTa (and GPT-2) does.

    A word is a run of letters, of digits or of other signs, with a blank before it, or a run of blanks. It starts as
    its bytes, each written as a character; again and again the two neighbours merge that come first in the list of
    merges, the leftmost of several, until none do. `<s>` comes first, `</s>` last, also of a text that is cut off.
    Names of such pieces in a text are signs like others, so that no text forges them.

    Vocabulary and merges are assets of a SavedModel with this in it.

    Args:
        vocabulary: str. Path of a file with a piece a line, `<pad>` first.
        merges: str. Path of a file with two pieces a line, with a blank between them, the first to merge first.
        max_tokens: int. Length of the result, at least 2.

    Call arguments:
        text: string tensor `(batch,)`, UTF-8; what is none is dropped.

    Returns:
        int64 tensor `(batch, max_tokens)`, filled up with 0.

    Raises:
        ValueError: when the vocabulary lacks one of the four pieces, or `max_tokens` is too small.

    Reference:
     - [Sennrich et al., 2016](https://arxiv.org/abs/1508.07909); [Radford et al., 2019], its `encoder.py`; equal to
       Hugging Face's tokenizers but for the forging above and words of more than `LONGEST_WORD` bytes
    """

    def __init__(self, vocabulary: str, merges: str, max_tokens: int):
        super().__init__("byte_pair", vocabulary, max_tokens, _MARKS)
        self._pieces = line_numbers(vocabulary, self._unknown)
        self._ranks = line_numbers(merges, _NONE)

    def words(self, text: tf.Tensor) -> tf.RaggedTensor:
        """The words of texts `(batch,)` with the blanks before them, `(batch, words)`."""
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="ignore")
        text = tf.strings.regex_replace(text, _LAST_BLANK, rb"\1" + _END_OF_WORD + rb"\2")
        # Not to be read again as one: the byte is not UTF-8.
        parts = tf.strings.split(text, _END_OF_WORD)
        words = tf.strings.regex_replace(parts.flat_values, _WORD, rb"\1" + _END_OF_WORD)
        words = parts.with_flat_values(tf.strings.split(words, _END_OF_WORD)).merge_dims(1, 2)
        return tf.ragged.boolean_mask(words, tf.strings.length(words) > 0)

    def _split(self, words: tf.Tensor) -> tf.RaggedTensor:
        """The pieces of words `(words,)`, as ids, `(words, pieces)`; a round of the loop merges two of each word."""
        count = tf.size(words, tf.int64)
        letters = tf.strings.bytes_split(tf.strings.substr(words, 0, LONGEST_WORD))
        codes = tf.cast(tf.io.decode_raw(letters.flat_values, tf.uint8, fixed_length=1)[:, 0], tf.int32)
        symbols = tf.gather(tf.constant(characters_of_bytes()), codes)

        def merge(symbols: Any, owners: Any, done: Any, done_owners: Any) -> Any:
            # All that counts here is of symbols in the order of their words: (symbols,)
            followers = tf.concat([symbols[1:], [""]], axis=0)
            has_follower = tf.concat([tf.equal(owners[1:], owners[:-1]), [False]], axis=0)
            pairs = tf.strings.join([symbols, followers], " ")
            ranks = tf.where(has_follower, self._ranks.lookup(pairs), tf.constant(_NONE, tf.int64))
            best = tf.gather(tf.math.unsorted_segment_min(ranks, owners, count), owners)
            is_open = best < _NONE
            places = tf.range(tf.size(symbols, tf.int64), dtype=tf.int64)
            candidates = tf.where(is_open & tf.equal(ranks, best), places, tf.constant(_NONE, tf.int64))
            first = tf.equal(places, tf.gather(tf.math.unsorted_segment_min(candidates, owners, count), owners))
            merged = tf.where(first, tf.strings.join([symbols, followers]), symbols)
            stays = is_open & ~tf.concat([[False], first[:-1]], axis=0)
            return (
                tf.boolean_mask(merged, stays),
                tf.boolean_mask(owners, stays),
                tf.concat([done, tf.boolean_mask(symbols, ~is_open)], axis=0),
                tf.concat([done_owners, tf.boolean_mask(owners, ~is_open)], axis=0),
            )

        state = (symbols, letters.value_rowids(), tf.zeros([0], tf.string), tf.zeros([0], tf.int64))
        _, _, done, owners = tf.while_loop(
            lambda symbols, *rest: tf.size(symbols) > 0,
            merge,
            state,
            shape_invariants=(tf.TensorShape([None]),) * 4,
        )
        # Words are done one after another; within a word the order is kept.
        order = tf.argsort(owners, stable=True)
        ids = self._pieces.lookup(tf.gather(done, order))
        return tf.RaggedTensor.from_value_rowids(ids, tf.gather(owners, order), nrows=count)


def characters_of_bytes() -> list[str]:
    """The character that stands for each byte in vocabulary and merges: itself, or one that can be seen."""
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = [code for code in range(256) if code not in visible]
    return [chr(code if code in visible else 256 + hidden.index(code)) for code in range(256)]
