"""The rules of each strategy, on candidates whose scores are written down."""

import dataclasses

import numpy as np
import pytest

from hfmnas_keras.genotype.random_genotype import random_genotype
from hfmnas_keras.search.strategies.candidate_training import score_of
from hfmnas_keras.search.strategies.proposals import neighbour
from hfmnas_keras.search.strategies.strategies import evolution, race, random_search
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.race import RaceSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import SpaceSettings


class WrittenTraining:
    """In the place of `CandidateTraining`: the dev loss of candidate `n` after epoch `e` is `losses(n, e)`."""

    def __init__(self, losses, seconds_an_epoch=0.0):
        self.space = SpaceSettings()
        self.losses = losses
        self.histories, self.genotypes, self.forgotten, self.plan = {}, {}, [], {}
        self.epoch_seconds = seconds_an_epoch

    @property
    def epochs(self):
        return sum(map(len, self.histories.values()))

    def train(self, number, genotype, epochs):
        assert number not in self.forgotten or len(self.histories[number]) >= epochs
        self.genotypes[number] = genotype
        history = self.histories.setdefault(number, [])
        for epoch in range(len(history), epochs):
            loss = self.losses(number, epoch + 1)
            history.append({"dev_loss": loss, "train_loss": 1.0 + epoch, "dev_macro_f1": 1.0 - loss})
        return history[:epochs]

    def forget(self, number):
        self.forgotten.append(number)

    def expect(self, epochs):
        self.expected = epochs

    def remember(self):
        pass

    def cost(self):
        return {"seconds": self.epochs * self.epoch_seconds}


def settings(**changes):
    return SearchSettings(strategy="race", race=RaceSettings(**changes), seed=5)


def propose(number, parent):
    if parent is not None:
        return neighbour(parent, SpaceSettings(), np.random.default_rng(number))
    return random_genotype(SpaceSettings(), FusionSettings(), number)


def test_a_race_trains_the_better_ones_for_longer():
    # The later candidates are better at first, and the earlier ones in the end.
    training = WrittenTraining(lambda number, epoch: 1.0 - 0.01 * number if epoch < 6 else 0.01 * number)
    winner = race(training, settings(candidates=10, rungs=(2, 4, 6), kept=0.4), propose)
    # 10 for two epochs, the best 4 for two more, the best 2 of those for another two.
    assert [len(training.histories[number]) for number in range(10)] == [2, 2, 2, 2, 2, 2, 4, 4, 6, 6]
    assert winner == 8
    assert training.expected == training.epochs == 10 * 2 + 4 * 2 + 2 * 2
    assert sorted(training.forgotten) == list(range(8))


def test_random_search_trains_all_to_the_end():
    training = WrittenTraining(lambda number, epoch: abs(number - 3) / epoch)
    assert random_search(training, settings(candidates=5, rungs=(2, 6)), propose) == 3
    assert [len(history) for history in training.histories.values()] == [6] * 5


def test_a_child_of_evolution_differs_from_the_best_of_its_sample_in_one_choice():
    training = WrittenTraining(lambda number, epoch: float(number))
    chosen = settings(candidates=9, rungs=(1,), population=3, sample=3)
    assert evolution(training, chosen, propose) == 0
    # The sample is the whole population, of which the oldest is the best here: the parent of 3 is 0, of 4 it is 1.
    for number in range(3, 9):
        child, parent = training.genotypes[number], training.genotypes[number - 3]
        assert changed_choices(child, parent) >= 1
        for cell in ("lfbc", "hfbc"):
            mine, theirs = child.cells[cell], parent.cells[cell]
            nodes = {node.index: node for node in theirs.nodes}
            different = [node for node in mine.nodes if node.index in nodes and node != nodes[node.index]]
            assert len(different) <= 1, (number, cell)


def changed_choices(first, second):
    return len(set(first.labels(importance=False).items()) - set(second.labels(importance=False).items()))


def test_minutes_decide_the_number_of_candidates_once():
    training = WrittenTraining(lambda number, epoch: float(number), seconds_an_epoch=2.0)
    limited = dataclasses.replace(settings(candidates=3, rungs=(2, 4), kept=0.5), minutes=1.0)
    race(training, limited, propose)
    # With n candidates 2 n + 2 ceil(n / 2) epochs of two seconds: 10 fit into a minute, and 11 do not.
    assert training.plan == {"candidates": 10}
    assert training.epochs == 30
    # A slower machine goes on with the same plan.
    slower = WrittenTraining(lambda number, epoch: float(number), seconds_an_epoch=20.0)
    slower.plan = dict(training.plan)
    race(slower, limited, propose)
    assert slower.epochs == 30


def test_scores_are_lower_for_the_better():
    history = [
        {"train_loss": 2.0, "dev_loss": 0.5, "dev_macro_f1": 0.6},
        {"train_loss": 1.0, "dev_loss": 0.7, "dev_macro_f1": 0.8},
    ]
    assert score_of(history, "train_loss") == 3.0
    assert score_of(history, "dev_loss") == 0.7
    assert score_of(history, "dev_macro_f1") == -0.8


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"candidates": 1}, "race.candidates"),
        ({"rungs": (4, 2)}, "race.rungs"),
        ({"rungs": ()}, "race.rungs"),
        ({"kept": 1.0}, "race.kept"),
        ({"score": "luck"}, "race.score.*dev_loss"),
        ({"population": 4, "sample": 5}, "race.sample.*population=4"),
    ],
)
def test_settings_are_checked(changes, words):
    with pytest.raises(ValueError, match=words):
        RaceSettings(**changes)


def test_minutes_are_not_for_the_bilevel_search():
    with pytest.raises(ValueError, match=r"minutes=3.*bilevel"):
        SearchSettings(minutes=3)
    assert np.isfinite(dataclasses.replace(settings(), minutes=3.0).minutes)
