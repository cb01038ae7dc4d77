"""How many of the words of a split a model can have learnt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from components.multimodal_example_gen.row import SPLITS, Row
from components.words import words_of_text

#: How often a word occurs in train, at least: `preparation.min_frequency`.
FREQUENCIES = (1, 2, 3, 5, 10)


def word_coverage(rows: Iterable[Row]) -> dict[str, Any]:
    """Returns the share of the words of each split that occur so often in train, and the texts without any word.

    Args:
        rows: iterable of Row. Those without a text are passed over.

    Returns:
        dict with `covered`, by least frequency (as text) and split a float in [0, 1], of all occurrences; and
        `wordless`, by split the number of texts without a word. Empty where there are no texts.
    """
    words: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    wordless: Counter[str] = Counter()
    texts = 0
    for row in rows:
        if row.text:
            found = words_of_text(row.text)
            words[row.split].update(found)
            wordless[row.split] += not found
            texts += 1
    if not texts:
        return {}
    covered = {
        str(least): {split: _share(of_split, words["train"], least) for split, of_split in words.items()}
        for least in FREQUENCIES
    }
    return {"covered": covered, "wordless": {split: wordless[split] for split in SPLITS}}


def _share(words: Counter[str], train: Counter[str], least: int) -> float:
    total = words.total()
    known = sum(count for word, count in words.items() if train[word] >= least)
    return round(known / total, 4) if total else 0.0
