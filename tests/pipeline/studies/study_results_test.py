"""What is said of trials that are there."""

from __future__ import annotations

import types

import numpy as np
import pytest
import scipy.stats

from pipeline.config_file import load_config, with_overrides
from pipeline.studies import study_results
from pipeline.studies.statistics import bootstrap_interval
from pipeline.studies.study import Study
from pipeline.studies.study_results import StudyResults
from pipeline.studies.trial import Trial
from pipeline.studies.trial_store import TrialStore
from pipeline.studies.variant import RANDOM, SEARCHED, Variant


def results_of(folder, variants, scores, preset="demo", **record):
    """Results of made-up trials: the scores of each variant, the first of which is the reference, seed by seed."""
    store, generator = TrialStore(folder / "trials"), np.random.default_rng(0)
    config = load_config(preset)
    study = Study("s", "a title", "no table", variants[0].name, lambda config: variants)
    planned = []
    for variant, own_scores in zip(variants, scores, strict=True):
        for seed, score in enumerate(own_scores):
            trial = Trial.of(with_overrides(config, variant.overrides), seed, "made-up", variant.genotype)
            predictions = {
                "ids": np.arange(40).astype(str),
                "labels": np.arange(40) % 9,
                "probabilities": generator.dirichlet(np.ones(9), 40),
                "thresholds": np.array(0.5),
            }
            names = ("test_macro_f1", "test_weighted_f1", "test_accuracy", "dev_macro_f1")
            store.write(trial, {"status": "finished", **dict.fromkeys(names, score), **record}, predictions)
            planned.append(types.SimpleNamespace(variant=variant, seed=seed, trial=trial))
    return StudyResults(study, config, planned, store)


@pytest.mark.parametrize("random_is_reference", [False, True])
def test_random_genotypes_are_compared_unpaired_and_all_of_them(tmp_path, random_is_reference):
    generator = np.random.default_rng(0)
    variants = [Variant("searched"), Variant("random", genotype=RANDOM)]
    scores = [generator.uniform(size=3), generator.uniform(size=10)]
    if random_is_reference:
        variants, scores = variants[::-1], scores[::-1]
    reference, other = results_of(tmp_path, variants, scores).rows()
    expected = scipy.stats.ttest_ind(scores[1], scores[0], equal_var=False).confidence_interval(0.95)
    assert "over_seeds" not in reference
    assert other["over_seeds"] == pytest.approx(
        {"difference": scores[1].mean() - scores[0].mean(), "low": expected.low, "high": expected.high}
    )
    counts = "3 genotypes and 10 seeds" if random_is_reference else "10 genotypes and 3 seeds"
    assert counts in other["told"]


@pytest.mark.parametrize(
    "scores, words",
    [
        ([0.81, 0.83, 0.82], "above plain over 3 seeds, by +0.313"),
        ([0.21, 0.23, 0.22], "below plain over 3 seeds, by -0.287"),
        ([0.21, 0.83, 0.52], "not told apart from plain by 3 seeds (+0.013"),
        ([0.6], "too few seeds to compare with plain"),
    ],
)
def test_the_line_says_whether_a_difference_is_real(tmp_path, scores, words):
    variants = [Variant("plain", {"model": "concatenation"}), Variant("other", {"model": "gmu"})]
    results = results_of(tmp_path, variants, [[0.5, 0.51, 0.51], scores])
    assert results.rows()[1]["told"].startswith(words)
    assert f"\n- other: {words}" in results.to_markdown()


@pytest.mark.parametrize(
    "preset, words",
    [
        ("demo", "other data: 61.5 macro F1 on MM-IMDB; 90.1 accuracy on NTU RGB+D"),
        ("ntu", "90.1 accuracy on these data"),
        ("mmimdb_hdf5", "61.5 macro F1 on these data"),
    ],
)
def test_the_papers_values_stand_beside_ours_and_say_of_which_data_they_are(tmp_path, preset, words):
    published = {"MM-IMDB": "61.5 macro F1", "NTU RGB+D": "90.1 accuracy"}
    results = results_of(tmp_path, [Variant("gmu", {"model": "gmu"}, published=published)], [[0.25]], preset)
    heads, _, row = (line.split(" | ") for line in results.to_markdown().splitlines()[2:5])
    trials = dict(zip(heads, row, strict=True))
    assert trials["published there, % |"] == f"{words} |"
    assert trials["macro F1 on test"] == trials["weighted F1"] == trials["accuracy"] == "0.250"


def test_searches_that_came_to_nothing_are_told(tmp_path):
    results = results_of(tmp_path, [Variant("hf_mnas")], [[0.1, 0.2]], verdict="undecided")
    assert "\n- hf_mnas: of 2 searches 2 undecided" in results.to_markdown()
    assert "searches" not in results_of(tmp_path, [Variant("hf_mnas")], [[0.1, 0.2]], verdict="decided").to_markdown()


def test_the_picture_is_the_studys_own(tmp_path):
    drawn = []
    results = results_of(tmp_path, [Variant("hf_mnas")], [[0.1]])
    results.study = Study(
        "s", "a title", "no table", "hf_mnas", lambda config: [], draw=lambda *args: drawn.append(args)
    )
    results.write(tmp_path / "study")
    (rows, title, _) = drawn[0]
    assert rows == results.rows() and title == "a title"


def test_what_takes_long_is_computed_once_however_often_the_results_are_written(tmp_path, monkeypatch):
    variants = [Variant(model, {"model": model}) for model in ("gmu", "mmtm")]
    results = results_of(tmp_path, variants, [[0.1, 0.2], [0.3, 0.5]])
    compared = []

    def counted(labels, *arguments):
        compared.append(len(labels))
        return bootstrap_interval(labels, *arguments)

    monkeypatch.setattr(study_results, "bootstrap_interval", counted)
    for _ in range(2):
        results.write(tmp_path / "study")
    reference, other = results.rows()
    assert compared == [40]
    store = TrialStore(tmp_path / "trials")
    first, second = (
        store.read_predictions(Trial.of(with_overrides(load_config("demo"), {"model": model}), 0, "made-up", SEARCHED))
        for model in ("mmtm", "gmu")
    )
    expected = bootstrap_interval(first["labels"], first["probabilities"], second["probabilities"])
    assert "bootstrap" not in reference and other["bootstrap"] == vars(expected)
