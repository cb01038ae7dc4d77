"""Which candidates are trained, and for how long: successive halving, evolution, random search."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from absl import logging

from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.search.strategies.candidate_training import CandidateTraining, score_of
from hfmnas_keras.settings.search import SearchSettings

#: The genotype of a candidate by its number, and of a child by that of its parent too.
Propose = Callable[[int, Genotype | None], Genotype]
#: Most candidates that `minutes` can ask for.
MOST_CANDIDATES = 1000


def race(training: CandidateTraining, settings: SearchSettings, propose: Propose) -> int:
    """Successive halving: all candidates are trained for a few epochs, the better ones for more, and so on.

    Args:
        training: `CandidateTraining`, where earlier work of the same race is taken from.
        settings: `SearchSettings`.
        propose: function from a candidate's number, and its parent's genotype where it has a parent, to its genotype.

    Returns:
        int. Number of the winner: the best of those that reached the last rung.

    Reference:
     - [Jamieson and Talwalkar, 2016](https://arxiv.org/abs/1502.07943)
    """
    rungs, kept = settings.race.rungs, settings.race.kept

    def epochs_of(candidates: int) -> int:
        return sum(epochs for _, epochs in _rungs(candidates, rungs, kept))

    candidates = list(range(_number_of_candidates(training, settings, propose, rungs[0], epochs_of)))
    training.expect(epochs_of(len(candidates)))
    for rung, epochs in enumerate(rungs):
        scores = {
            number: score_of(training.train(number, propose(number, None), epochs), settings.race.score)
            for number in candidates
        }
        ranked = sorted(candidates, key=lambda number: (scores[number], number))
        if epochs == rungs[-1]:
            return ranked[0]
        candidates = ranked[: _passing(len(ranked), kept)]
        logging.info("Race, rung %d of %d: %s pass.", rung + 1, len(rungs), sorted(candidates))
        for number in ranked[len(candidates) :]:
            training.forget(number)
        candidates.sort()
    raise AssertionError("a race ends in its last rung")


def random_search(training: CandidateTraining, settings: SearchSettings, propose: Propose) -> int:
    """Trains every candidate for all epochs of the last rung. Arguments and result as of `race`."""
    epochs = settings.race.rungs[-1]
    count = _number_of_candidates(training, settings, propose, epochs, lambda candidates: candidates * epochs)
    training.expect(count * epochs)
    return _best(training, settings, list(range(count)), lambda number: propose(number, None))


def evolution(training: CandidateTraining, settings: SearchSettings, propose: Propose) -> int:
    """Regularised evolution: of the last `population` candidates, the best of a few drawn ones has the next child.

    The first `population` are proposed; a child is a `neighbour` of its parent. All are trained for all epochs of the
    last rung. Arguments and result as of `race`.

    Reference:
     - [Real et al., 2019](https://arxiv.org/abs/1802.01548)
    """
    epochs, population = settings.race.rungs[-1], settings.race.population
    genotypes: list[Genotype] = []

    def child(number: int) -> Genotype:
        if number < population:
            return propose(number, None)
        generator = np.random.default_rng([settings.seed, 11, number])
        living = np.arange(number - population, number)
        drawn = generator.choice(living, size=settings.race.sample, replace=False)
        parent = _best(training, settings, sorted(map(int, drawn)), genotypes.__getitem__)
        return propose(number, genotypes[parent])

    count = _number_of_candidates(training, settings, propose, epochs, lambda candidates: candidates * epochs)
    training.expect(count * epochs)
    for number in range(count):
        genotypes.append(child(number))
        training.train(number, genotypes[number], epochs)
    return _best(training, settings, list(range(count)), genotypes.__getitem__)


#: All but `bilevel`.
STRATEGY_FUNCTIONS = {"race": race, "evolution": evolution, "random": random_search}


def _best(
    training: CandidateTraining, settings: SearchSettings, numbers: list[int], genotype: Callable[[int], Genotype]
) -> int:
    epochs, score = settings.race.rungs[-1], settings.race.score
    return min(numbers, key=lambda number: (score_of(training.train(number, genotype(number), epochs), score), number))


def _passing(candidates: int, kept: float) -> int:
    return max(1, math.ceil(kept * candidates))


def _rungs(candidates: int, rungs: tuple[int, ...], kept: float) -> list[tuple[int, int]]:
    """By rung how many candidates it has and how many epochs they add."""
    added, before = [], 0
    for epochs in rungs:
        added.append((candidates, candidates * (epochs - before)))
        candidates, before = _passing(candidates, kept), epochs
    return added


def _number_of_candidates(
    training: CandidateTraining,
    settings: SearchSettings,
    propose: Propose,
    first_epochs: int,
    epochs_of: Callable[[int], int],
) -> int:
    """As many as the settings say, or as fit into `minutes` at the speed of the first one.

    The number is remembered: a race that goes on elsewhere is the same race.
    """
    if settings.minutes is None:
        return settings.race.candidates
    if "candidates" not in training.plan:
        training.train(0, propose(0, None), first_epochs)
        left = 60.0 * settings.minutes - training.cost()["seconds"]
        fitting = [
            count
            for count in range(2, MOST_CANDIDATES + 1)
            if (epochs_of(count) - training.epochs) * training.epoch_seconds <= left
        ]
        training.plan["candidates"] = max(fitting, default=2)
        training.remember()
        logging.info("%d candidates fit into %g minutes.", training.plan["candidates"], settings.minutes)
    return int(training.plan["candidates"])
