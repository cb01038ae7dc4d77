"""Which words of a split train has, counted by hand."""

from components.multimodal_example_gen.row import Row
from components.multimodal_example_gen.word_coverage import word_coverage


def rows(**texts):
    return [
        Row(id=f"{split}-{number}", split=split, labels=("a",), media={}, text=text)
        for split, of_split in texts.items()
        for number, text in enumerate(of_split)
    ]


def test_shares_of_all_words_that_occur():
    found = word_coverage(rows(train=["a a b", "a c"], dev=["A b d d", "🎃"], test=["e", "#!", "🎃"]))
    # Train: a three times, b and c once. Of the four words of dev two, and of them one twice or more.
    assert found["covered"]["1"] == {"train": 1.0, "dev": 0.5, "test": 0.0}
    assert found["covered"]["2"] == {"train": 0.6, "dev": 0.25, "test": 0.0}
    assert found["covered"]["5"] == {"train": 0.0, "dev": 0.0, "test": 0.0}
    assert found["wordless"] == {"train": 0, "dev": 1, "test": 2}


def test_scripts_without_blanks_share_their_letters():
    found = word_coverage(rows(train=["สวัสดี"], dev=["ดีวัส"], test=["日本"]))
    assert found["covered"]["1"] == {"train": 1.0, "dev": 1.0, "test": 0.0}


def test_sources_without_texts_have_none():
    assert word_coverage(rows(train=[""], dev=[""])) == {}
