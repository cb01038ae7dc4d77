"""Searches a genotype by training candidates."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.search.graph_rewriting import without_graph_rewriting
from hfmnas_keras.search.search_result import SearchResult
from hfmnas_keras.search.search_warning import SearchWarning
from hfmnas_keras.search.strategies.bound import Bound
from hfmnas_keras.search.strategies.candidate_training import CandidateTraining, score_of
from hfmnas_keras.search.strategies.genotype_cost import GenotypeCost
from hfmnas_keras.search.strategies.proposals import neighbour, proposal
from hfmnas_keras.search.strategies.strategies import STRATEGY_FUNCTIONS
from hfmnas_keras.settings.fusion import FusionSettings, MitigationSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import SpaceSettings

#: Standard errors that a winner leads by where its choice is no chance.
LEAST_ERRORS = 2.0


def search_by_training(
    train: FeatureSet,
    dev: FeatureSet,
    num_outputs: int,
    settings: SearchSettings,
    checkpoint_dir: str | os.PathLike,
    fingerprint: Mapping[str, Any],
    bilevel: Callable[[], SearchResult],
    fusion: FusionSettings,
    mitigation: MitigationSettings,
    space: SpaceSettings,
) -> SearchResult:
    """Finds a genotype by `settings.strategy`: `"race"`, `"evolution"` or `"random"` (docs/method.md, section 7).

    Args:
        train, dev, num_outputs, checkpoint_dir, fusion, mitigation, space: as of `search_architecture`.
        settings: `SearchSettings`.
        fingerprint: JSON-able dict of all that must be equal for a search to be the same search.
        bilevel: function that makes, or finds, the bilevel search that a seeded race begins with.

    Returns:
        `SearchResult`: `history` is the winner's, see `CandidateTraining.records`; `candidates` are all of them;
        `probabilities` are those of the bilevel search, and there are none without one.
    """
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    before = bilevel() if settings.race.seeded else None
    with without_graph_rewriting():
        training = CandidateTraining(
            train, dev, num_outputs, settings, checkpoint_dir, fingerprint, fusion, mitigation, space
        )
        found: dict[str, Any] = {}
        if before is not None:
            found = {"probabilities": before.probabilities, "found": before.genotype}
        cost_of = GenotypeCost(train.feature_shapes, num_outputs, fusion, mitigation, settings.channels)
        bound = Bound(settings.race, cost_of)

        def propose(number: int, parent: Genotype | None) -> Genotype:
            if parent is not None:
                generator = np.random.default_rng([settings.seed, 13, number])
                return bound.first_within(lambda attempt: neighbour(parent, space, generator))
            return bound.first_within(
                lambda attempt: proposal(number, space, fusion, settings.seed, attempt=attempt, **found)
            )

        winner = STRATEGY_FUNCTIONS[settings.strategy](training, settings, propose)
        if "lead" not in training.plan:
            training.plan["lead"] = _lead(training, winner)
            training.remember()
    lead, standard_error = training.plan["lead"]
    warnings = lead_warnings(lead, standard_error, dev.num_rows)
    for warning in warnings:
        logging.warning("Search %s (%s): %s", warning.verdict, warning.rule, warning.message)
    history = training.records[winner]["history"]
    genotype = training.genotype(winner)
    taps = {name: list(getattr(fusion, name)) for name in ("lfbc_taps", "hfbc_taps")}
    metadata = {**taps, "strategy": settings.strategy, "attention_values": fusion.attention_values}
    cost = training.cost()
    if before is not None:
        cost["seconds"] += before.cost["seconds"]
        cost["architecture_steps"] = before.cost["architecture_steps"]
        cost["weight_steps"] += before.cost["weight_steps"]
    candidates = [
        {
            "number": number,
            "epochs": len(record["history"]),
            "score": score_of(record["history"], settings.race.score),
            **record,
        }
        for number, record in sorted(training.records.items())
    ]
    ranked = sorted(candidates, key=lambda candidate: (candidate["score"], candidate["number"]))
    others = [
        candidate["number"]
        for candidate in ranked
        if candidate["epochs"] == len(history) and candidate["number"] != winner
    ]
    return SearchResult(
        genotype=dataclasses.replace(genotype, metadata=metadata),
        epoch=len(history),
        probabilities={} if before is None else before.probabilities,
        history=history,
        cost=cost,
        travel={} if before is None else before.travel,
        warnings=warnings,
        candidates=candidates,
        others=tuple(dataclasses.replace(training.genotype(number), metadata=metadata) for number in others),
    )


def lead_warnings(lead: float, standard_error: float, rows: int) -> tuple[SearchWarning, ...]:
    """Whether the winner beats what its choice was between.

    Args:
        lead: float. By how much its dev loss is below the mean of the others that were trained as long.
        standard_error: float. Of that, over the dev rows.
        rows: int. Dev rows.

    Returns:
        tuple of `SearchWarning`: an undecided one where the lead is less than `LEAST_ERRORS` standard errors.
    """
    if lead >= LEAST_ERRORS * standard_error:
        return ()
    message = (
        f"The winner's dev loss is {lead:.4f} below the mean of the other candidates that were trained as long, with a "
        f"standard error of {standard_error:.4f} over {rows} dev rows. Expected: {LEAST_ERRORS:g} standard errors or "
        "more. Another of them may be as good: compare several seeds, or take any."
    )
    return (SearchWarning("undecided", "lead", message),)


def _lead(training: CandidateTraining, winner: int) -> list[float]:
    """By how much the winner leads on dev, row by row, as mean and standard error."""
    epochs = len(training.records[winner]["history"])
    others = [
        number for number, record in training.records.items() if number != winner and len(record["history"]) == epochs
    ]
    if not others:
        return [0.0, 0.0]
    differences = np.mean([training.dev_losses(number) for number in others], axis=0) - training.dev_losses(winner)
    return [float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))]
