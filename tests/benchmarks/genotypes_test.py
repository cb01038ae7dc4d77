"""The library of genotypes: what is trained, and what is read off it."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from benchmarks import genotypes
from benchmarks.genotypes import Library, arms, rankings, spread, table, train_library
from hfmnas_keras.settings.race import RaceSettings
from hfmnas_keras.settings.training import TrainingSettings
from tests.hfmnas_keras.search.search_case import FUSION, SETTINGS, make_rows


def make_library(count=20, seeds=2, epochs=8, rows=60):
    """Genotype n is the better the lower n is, which dev tells from the second epoch on."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, size=rows)
    worth = np.linspace(3.0, 0.5, count)[:, None, None, None]
    truth = np.eye(3)[labels]
    dev, test = (worth * truth + generator.normal(size=(count, seeds, rows, 3)) for _ in range(2))
    rank = np.broadcast_to(np.arange(count, dtype=float)[:, None, None], (count, seeds, epochs)) / count
    return Library(rank, -rank, rank, dev, test, labels, labels)


def test_the_spread_is_parted_into_genotypes_and_seeds():
    generator = np.random.default_rng(1)
    scores = 0.8 + 0.03 * generator.normal(size=(400, 1)) + 0.01 * generator.normal(size=(400, 3))
    parts = spread(scores)
    assert parts["mean"] == pytest.approx(0.8, abs=0.005)
    assert parts["genotypes"] == pytest.approx(0.03, rel=0.1)
    assert parts["seeds"] == pytest.approx(0.01, rel=0.1)
    assert parts["p"] < 1e-6
    # By hand: the means .7 and .9 have the variance .02, the seeds .0002 and .0008.
    by_hand = spread(np.array([[0.69, 0.71], [0.88, 0.92]]))
    assert by_hand["seeds"] == pytest.approx(np.sqrt((0.0002 + 0.0008) / 2))
    assert by_hand["genotypes"] == pytest.approx(np.sqrt((0.04 - 0.0005) / 2))


def test_seeds_alone_are_no_spread_of_genotypes():
    scores = 0.8 + 0.01 * np.random.default_rng(2).normal(size=(30, 4))
    parts = spread(scores)
    assert parts["genotypes"] < 0.005 and parts["p"] > 0.05


def test_scores_are_ranked_by_the_test_score_of_another_seed():
    library = make_library()
    f1 = library.test_f1
    tau = np.mean([scipy.stats.kendalltau(-np.arange(20), f1[:, seed]).statistic for seed in (1, 0)])
    told = rankings(library)
    assert told["dev loss, 2 epochs"][0] == pytest.approx(tau) and tau > 0.5
    assert told["dev F1, 6 epochs"][0] == pytest.approx(tau)
    # The test scores of a training have no part in how its own cheap scores are judged.
    swapped = dataclasses.replace(library, test_logits=library.test_logits[:, ::-1])
    assert rankings(swapped)["dev loss, 2 epochs"][0] == pytest.approx(tau)


def test_the_arms_of_a_race_that_ranks_perfectly():
    library = make_library()
    f1 = library.test_f1
    # All sixteen candidates and no other: whatever is drawn, the race finds number 4.
    drawn = np.arange(4, 20)
    told = arms(library, drawn, np.random.default_rng(0), draws=4)
    generator = np.random.default_rng(0)
    seeds = []
    for _ in range(4):
        seeds.append(int(generator.integers(2)))
        generator.permutation(drawn)
    assert told["race"] == pytest.approx(np.mean([f1[4, seed] for seed in seeds]))
    assert told["one random genotype"] == pytest.approx(np.mean([f1[4:, seed].mean() for seed in seeds]))
    assert told["race, its finalists vote"] == pytest.approx(
        np.mean([library.voted_f1([4, 5, 6, 7], [seed] * 4) for seed in seeds])
    )
    assert told["the best of all on test (oracle)"] >= told["race"] > told["one random genotype"]


def test_the_epochs_of_a_race_and_what_they_are_worth():
    # 16 * 2 + 4 * 4 + 1 * 2, and with all four going on 16 * 2 + 4 * 6.
    assert (genotypes.race_epochs(8), genotypes.race_epochs(8, 4)) == (50, 56)
    assert (genotypes.searched_trainings(8), genotypes.voting_trainings(8)) == (6, 7)


def test_the_library_is_trained_once(tmp_path, monkeypatch):
    splits = {"train": make_rows(50, 0), "dev": make_rows(20, 1), "test": make_rows(30, 2)}
    config = type("Config", (), {})()
    config.search = dataclasses.replace(SETTINGS, strategy="race", race=RaceSettings())
    config.training = TrainingSettings(weight_decay=0.1, label_smoothing=0.1)
    config.fusion, config.mitigation, config.space = FUSION.fusion, FUSION.mitigation, FUSION.space
    library = train_library(config, splits, 3, genotypes=2, seeds=1, epochs=2, folder=tmp_path)
    assert library.dev_loss.shape == (2, 1, 2) and library.test_logits.shape == (2, 1, 30, 3)
    np.testing.assert_array_equal(library.test_labels, splits["test"].labels)
    assert not np.array_equal(library.test_logits[0], library.test_logits[1])
    # What the logits of the last epoch say of dev is what was recorded of it.
    logits = library.dev_logits[1, 0].astype("float64")
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(20), splits["dev"].labels].mean()
    assert loss == pytest.approx(library.dev_loss[1, 0, -1], rel=1e-5)
    monkeypatch.setattr(genotypes, "CandidateTraining", None)
    again = train_library(config, splits, 3, genotypes=2, seeds=1, epochs=2, folder=tmp_path)
    np.testing.assert_array_equal(again.dev_logits, library.dev_logits)


def test_the_table_tells_all(monkeypatch):
    monkeypatch.setattr(genotypes, "_DRAWS", 4)
    monkeypatch.setattr(genotypes, "_LIBRARIES", 3)
    lines = table(make_library())
    assert "20 genotypes, 2 seeds, 8 epochs." in lines[0]
    assert any(line.startswith("| race | 50 | 0.") for line in lines)
    assert any(line.startswith("| 2 seeds of one genotype vote | 16 | 0.") for line in lines)
    assert any(line.startswith("| 4 random genotypes vote | 32 | 0.") for line in lines)
