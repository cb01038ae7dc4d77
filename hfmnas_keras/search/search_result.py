"""What a search found."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.search.diagnosis import verdict
from hfmnas_keras.search.search_warning import SearchWarning


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The genotype that a search chose and how it came to it.

    Args:
        genotype: `Genotype` or `BMGenotype`, discretised from the logits after the last step, or after the epoch that
            `SearchSettings.select` names. The last by default: dev F1 moves by noise from epoch to epoch, while the
            logits settle slowly.
        epoch: int. The epoch, from 1, that the genotype is of.
        probabilities: dict of arrays, as of `BaseSupernet.probabilities`, that the genotype was chosen from.
        history: list of dicts, one an epoch (keys: docs of `search_architecture`).
        cost: dict: `seconds`, `weight_steps`, `architecture_steps`, `peak_memory_bytes` (of the process, or
            the largest of several where the search was cut off).
        travel: dict: `possible` (rate times steps made: the farthest that Adam moves a logit), `largest` (the largest
            movement of a logit in this search), `architecture_learning_rate`.
        warnings: tuple of `SearchWarning`, what speaks against this result.
        candidates: list of dicts, where candidates were trained (keys: docs of `search_by_training`). The winner's
            epochs are the history then, and probabilities and travel are empty unless a bilevel search came first.
        others: tuple of genotypes, the best first: of the candidates that were trained as long as the winner. They can
            vote with it (`train_final_model`).
    """

    genotype: BaseGenotype
    epoch: int
    probabilities: dict[str, np.ndarray]
    history: list[dict[str, Any]]
    cost: dict[str, float]
    travel: dict[str, float]
    warnings: tuple[SearchWarning, ...] = ()
    candidates: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    others: tuple[BaseGenotype, ...] = ()

    @property
    def verdict(self) -> str:
        """`"collapsed"`, `"not discretisable"`, `"undecided"` or `"decided"`: the worst that the warnings say."""
        return verdict(self.warnings)
