"""How a text falls into words, without TensorFlow: `hfmnas_keras.preparation.words.words_of` splits alike."""

from __future__ import annotations

import functools
import re
import unicodedata

from hfmnas_keras.preparation.scripts import UNSPACED

# The planes 4 to 13 have no character, 15 and 16 are private: to look at them takes most of the time.
_ASSIGNED = (*range(0x40000), *range(0xE0000, 0xF0000))


@functools.cache
def word_pattern() -> re.Pattern[str]:
    """Pattern of a word in lower-case text: a run of letters, marks and digits, or one letter of `UNSPACED`."""
    kinds = {code: unicodedata.category(chr(code))[0] for code in _ASSIGNED}
    unspaced = {code for first, last in UNSPACED for code in range(first, last + 1)}
    inside = {code for code, kind in kinds.items() if kind in "LMN"}
    marks = _class({code for code, kind in kinds.items() if kind == "M"})
    # A symbol among these letters ends with its marks, too.
    after_symbol = f"(?<={_class(unspaced - inside)}){marks}+"
    return re.compile(f"{_class(inside & unspaced)}{marks}*|{after_symbol}|{_class(inside - unspaced)}+")


def words_of_text(text: str) -> list[str]:
    """Returns the words of a text in lower case.

    Example:
    >>> words_of_text("Don't stop, 日本!")
    ['don', 't', 'stop', '日', '本']
    """
    return word_pattern().findall(text.lower())


def _class(codes: set[int]) -> str:
    """A class of a regular expression."""
    ranges: list[list[int]] = []
    for code in sorted(codes):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges) + "]"
