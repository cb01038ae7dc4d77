"""How texts become words."""

import pytest
import tensorflow as tf

from components.multimodal_example_gen.count_words import count_words
from components.transform.text import words_of


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Red FISH", ["red", "fish"]),
        ("ÄRGER, Straße 12!", ["ärger", "straße", "12"]),
        ("don't-stop", ["don", "t", "stop"]),
        ("日本語 text", ["日", "本", "語", "text"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("#*! 🎃", []),
        ("", []),
    ],
)
def test_words(text, expected):
    found = [word.decode() for word in words_of(tf.constant([text])).to_list()[0]]
    assert found == expected
    assert count_words(text) == len(expected)


def test_words_of_bytes_that_are_no_text():
    assert words_of(tf.constant([b"red\xff\xfefish \xc3"])).to_list() == [[b"red", b"fish"]]
