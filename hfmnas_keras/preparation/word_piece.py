"""BERT's tokenizer of operations that TensorFlow itself has, so that a model with it in serves without libraries."""

from __future__ import annotations

import functools
import unicodedata
from typing import Any

import tensorflow as tf

from hfmnas_keras.preparation.piece_tokenizer import Marks, PieceTokenizer, line_numbers

MARKS = Marks("[PAD]", "[UNK]", "[CLS]", "[SEP]")
#: In characters; longer words are unknown as a whole.
LONGEST_WORD = 100
# Chinese characters, each a word of its own; as in BERT's own code, without those that decompose.
_CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
)
_CHINESE_THAT_DECOMPOSE = ((0xF900, 0xFAFF), (0x2F800, 0x2FA1F))
_PRIVATE = ((0xE000, 0xF8FF), (0xF0000, 0x10FFFF))
# Everything that has a character outside of the ranges above.
_REST = ((0, 0x33FF), (0xA000, 0xD7FF), (0xF900, 0x1FFFF), (0x2F800, 0x2FA1F), (0xE0000, 0xE0FFF))
# A character that stands for itself; the real one is dropped, so that no text makes it.
_ITSELF = "\0"


class WordPiece(PieceTokenizer):
    """Turns texts into ids of pieces of words as the tokenizer of BERT does.

    Controls and formats (the joiner in emoji too) go; with `strip_accents` characters are decomposed and marks go; with
    `lower_case` letters become small. Words end at blanks; punctuation and Chinese characters are words of their own. A
    word becomes the longest piece that the vocabulary has from its beginning, then the longest of what follows, which
    begins with `##` there, and so on; or `[UNK]`, where that leads nowhere. `[CLS]` comes first, `[SEP]` last, also of
    a text that is cut off. Names of such pieces in a text are words like others, so that no text forges them.

    The vocabulary is an asset of a SavedModel with this in it. What characters become is taken from Python's table when
    the object is made and kept in the graph.

    Args:
        vocabulary: str. Path of a file with a piece a line, `[PAD]` first.
        max_tokens: int. Length of the result, at least 2.
        lower_case, strip_accents: bools. As the encoder was trained.

    Call arguments:
        text: string tensor `(batch,)`, UTF-8; what is none is dropped.

    Returns:
        int64 tensor `(batch, max_tokens)`, filled up with 0.

    Raises:
        ValueError: when the vocabulary lacks one of the four pieces, or `max_tokens` is too small.

    Reference:
     - [Devlin et al., 2019](https://arxiv.org/abs/1810.04805), its `tokenization.py`; equal to Hugging Face's
       tokenizers but for the forging above
    """

    def __init__(self, vocabulary: str, max_tokens: int, lower_case: bool = True, strip_accents: bool = True):
        super().__init__("word_piece", vocabulary, max_tokens, MARKS)
        self._pieces = line_numbers(vocabulary, -1)
        codes, forms = normal_forms(lower_case, strip_accents)
        self._forms = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(codes, tf.int32), tf.constant(forms)), _ITSELF
        )

    def words(self, text: tf.Tensor) -> tf.RaggedTensor:
        """The words of texts `(batch,)` before they are looked up, `(batch, words)`."""
        characters = tf.strings.unicode_decode(text, "UTF-8", errors="ignore")
        codes = characters.flat_values
        itself = tf.strings.unicode_encode(codes[:, tf.newaxis], "UTF-8")
        itself = tf.where(_within(codes, _CHINESE), tf.strings.join([" ", itself, " "]), itself)
        itself = tf.where(_within(codes, _PRIVATE), "", itself)
        forms = self._forms.lookup(codes)
        forms = tf.where(tf.equal(forms, _ITSELF), itself, forms)
        return tf.strings.split(tf.strings.reduce_join(characters.with_flat_values(forms), axis=-1))

    def _split(self, words: tf.Tensor) -> tf.RaggedTensor:
        """The pieces of words `(words,)`, as ids, `(words, pieces)`."""
        whole = self._pieces.lookup(words)
        lengths = tf.strings.length(words, "UTF8_CHAR")
        whole = tf.where(lengths > LONGEST_WORD, tf.constant(self._unknown, tf.int64), whole)
        places = tf.where(whole < 0)[:, 0]
        parts = self._split_greedily(tf.gather(words, places), tf.gather(lengths, places))
        # Those that are pieces themselves, and those that were split, in the order of the words again.
        known_places = tf.where(whole >= 0)[:, 0]
        known = tf.RaggedTensor.from_tensor(tf.gather(whole, known_places)[:, tf.newaxis])
        return tf.gather(tf.concat([known, parts], axis=0), tf.argsort(tf.concat([known_places, places], axis=0)))

    def _split_greedily(self, words: tf.Tensor, lengths: tf.Tensor) -> tf.RaggedTensor:
        """The pieces of words that are none themselves; a round of the loop takes one piece off every word."""
        # From the longest: (candidates,)
        sizes = tf.range(tf.reduce_max(tf.concat([lengths, [1]], axis=0)), 0, -1)

        def take_one(number: Any, starts: Any, is_known: Any, pieces: Any) -> Any:
            # (words, candidates)
            shape = [tf.size(words), tf.size(sizes)]
            candidates = tf.strings.substr(
                tf.broadcast_to(words[:, tf.newaxis], shape),
                tf.broadcast_to(starts[:, tf.newaxis], shape),
                tf.broadcast_to(sizes, shape),
                unit="UTF8_CHAR",
            )
            candidates = tf.where((starts > 0)[:, tf.newaxis], tf.strings.join(["##", candidates]), candidates)
            ids = self._pieces.lookup(candidates)
            # A candidate that reaches beyond the end repeats a shorter one.
            is_piece = (ids >= 0) & (sizes <= (lengths - starts)[:, tf.newaxis])
            longest = tf.argmax(is_piece, axis=1, output_type=tf.int32)
            is_found, is_open = tf.reduce_any(is_piece, axis=1), starts < lengths
            pieces = pieces.write(number, tf.where(is_open & is_found, tf.gather(ids, longest, batch_dims=1), -1))
            ends = tf.where(is_found, starts + tf.gather(sizes, longest), lengths)
            return number + 1, tf.where(is_open, ends, starts), is_known & (is_found | ~is_open), pieces

        first = (
            0,
            tf.zeros_like(lengths),
            tf.ones_like(lengths, tf.bool),
            tf.TensorArray(tf.int64, 0, dynamic_size=True, element_shape=[None]),
        )
        number, _, is_known, pieces = tf.while_loop(
            lambda number, starts, is_known, pieces: tf.reduce_any(starts < lengths),
            take_one,
            first,
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([None]), tf.TensorShape(None)),
        )
        # (words, rounds); an unknown word is one piece, in a column before.
        rounds = tf.cond(
            number > 0, lambda: tf.transpose(pieces.stack()), lambda: tf.zeros([tf.size(words), 0], tf.int64)
        )
        rounds = tf.where(is_known[:, tf.newaxis], rounds, -1)
        unknown = tf.where(is_known, tf.constant(-1, tf.int64), self._unknown)[:, tf.newaxis]
        rounds = tf.concat([unknown, rounds], axis=1)
        return tf.ragged.boolean_mask(rounds, rounds >= 0)


@functools.cache
def normal_forms(lower_case: bool, strip_accents: bool) -> tuple[list[int], list[str]]:
    """What characters become that do not stay what they are: code points, and texts with blanks where words end.

    Not among them are most Chinese characters and those of private use, which are known by their ranges.
    """
    codes, forms = [], []
    for start, stop in _REST:
        for code in range(start, stop + 1):
            if (form := _normal_form(code, lower_case, strip_accents)) != chr(code):
                codes.append(code)
                forms.append(form)
    return codes, forms


def _normal_form(code: Any, lower_case: Any, strip_accents: Any) -> Any:
    character = chr(code)
    category = unicodedata.category(character)
    if character in "\t\n\r" or (character.isspace() and category[0] == "Z"):
        return " "
    # Not those that Python's table does not know: newer emoji are among them.
    if code == 0xFFFD or category in ("Cc", "Cf", "Co"):
        return ""
    parts = [character]
    if strip_accents:
        parts = [part for part in unicodedata.normalize("NFD", character) if unicodedata.category(part) != "Mn"]
    if lower_case:
        parts = [small for part in parts for small in part.lower()]
    if any(start <= code <= stop for start, stop in _CHINESE_THAT_DECOMPOSE):
        return f" {''.join(parts)} "
    return "".join(f" {part} " if _is_punctuation(part) else part for part in parts)


def _is_punctuation(character: Any) -> Any:
    # In ASCII, everything that is no letter, digit, blank or control.
    is_ascii_sign = "!" <= character <= "~" and not character.isalnum()
    return is_ascii_sign or unicodedata.category(character)[0] == "P"


def _within(codes: Any, ranges: Any) -> Any:
    return tf.reduce_any([(start <= codes) & (codes <= stop) for start, stop in ranges], axis=0)
