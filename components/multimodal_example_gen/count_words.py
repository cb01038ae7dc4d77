"""Counts words as the preparation will split them, without TensorFlow."""

from __future__ import annotations

import unicodedata

# First and last code points of scripts without blanks between words: Japanese syllables and Chinese characters.
_ONE_CHARACTER_WORDS = ((0x3041, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))


def count_words(text: str) -> int:
    """Returns the number of words of a text: runs of letters, marks and digits.

    `components.transform.text.words_of` splits the same way, up to rare characters.

    Args:
        text: str.

    Returns:
        int.
    """
    count, in_word = 0, False
    for character in text:
        if any(first <= ord(character) <= last for first, last in _ONE_CHARACTER_WORDS):
            count, in_word = count + 1, False
        elif unicodedata.category(character)[0] in "LMN":
            count, in_word = count + (not in_word), True
        else:
            in_word = False
    return count
