"""What the history of a bilevel search decides: when it stops, and whose genotype it gives."""

from __future__ import annotations

import itertools
from typing import Any

from hfmnas_keras.genotype.base_genotype import choices_in


def selected_epoch(history: list[dict[str, Any]], select: str) -> int:
    """The epoch, from 1, that `SearchSettings.select` names."""
    if select == "last":
        return len(history)
    key = "dev_macro_f1" if select == "best_supernet" else "discretised_dev_macro_f1"
    scores = [record[key] for record in history]
    # The later one among equals: its logits have seen more.
    return max((score, epoch) for epoch, score in enumerate(scores, start=1) if score is not None)[1]


def stable_epochs(history: list[dict[str, Any]]) -> int:
    """How many epochs in a row, the last among them, ended in the last one's choices."""
    choices = [choices_in(record["genotype"]) for record in history]
    return sum(1 for _ in itertools.takewhile(lambda earlier: earlier == choices[-1], reversed(choices)))
