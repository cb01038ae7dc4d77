"""How texts become words."""

import random
import unicodedata

import pytest
import tensorflow as tf

from components.words import words_of_text
from hfmnas_keras.preparation.words import words_of


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Red FISH", ["red", "fish"]),
        ("ÄRGER, Straße 12!", ["ärger", "straße", "12"]),
        ("don't-stop", ["don", "t", "stop"]),
        ("日本語 text", ["日", "本", "語", "text"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("שלום עולם", ["שלום", "עולם"]),
        # Thai, Lao, Khmer and Burmese: a letter with the marks that follow it.
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("ສະບາຍດີ", ["ສ", "ະ", "ບ", "າ", "ຍ", "ດີ"]),
        ("ខ្មែរ", ["ខ្", "មែ", "រ"]),
        ("မြန်မာ", ["မြ", "န်", "မာ"]),
        ("#*! 🎃", []),
        ("", []),
    ],
)
def test_words(text, expected):
    found = [word.decode() for word in words_of(tf.constant([text])).to_list()[0]]
    assert found == expected
    assert words_of_text(text) == expected


def test_ingest_and_serving_split_alike_whatever_the_script():
    """Random runs of letters, marks, digits and others of many scripts, mixed."""
    draw = random.Random(0)
    blocks = [(0x20, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xEFF)]
    blocks += [(0x1000, 0x109F), (0x1780, 0x17FF), (0x3041, 0x30FF), (0x4E00, 0x4FFF), (0x1F300, 0x1F5FF)]
    blocks += [(0xAC00, 0xACFF), (0x2000, 0x206F), (0x300, 0x36F), (0x3131, 0x318E)]
    texts = []
    for _ in range(2000):
        chosen = draw.sample(blocks, 3)
        letters = (chr(draw.randint(*draw.choice(chosen))) for _ in range(draw.randint(1, 20)))
        # Not those that this Python is too old to know.
        texts.append("".join(letter for letter in letters if unicodedata.category(letter) != "Cn"))
    split = words_of(tf.constant(texts)).to_list()
    differing = [
        (text, [word.decode() for word in words])
        for text, words in zip(texts, split, strict=True)
        if [word.decode() for word in words] != words_of_text(text)
    ]
    assert differing == []


def test_words_of_bytes_that_are_no_text():
    assert words_of(tf.constant([b"red\xff\xfefish \xc3"])).to_list() == [[b"red", b"fish"]]
