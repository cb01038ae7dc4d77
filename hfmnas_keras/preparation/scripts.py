"""Scripts of the world."""

from __future__ import annotations

#: First and last code points of scripts without blanks between words: Thai and Lao, Burmese, Khmer, Japanese syllables,
#: Chinese characters. Each letter with its marks is a word of its own.
UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3041, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)
