import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.search import architecture_search
from hfmnas_keras.search.architecture_search import search_architecture
from hfmnas_keras.search.strategies.candidate_training import CandidateTraining
from hfmnas_keras.search.strategies.genotype_cost import GenotypeCost
from hfmnas_keras.search.strategies.search_by_training import lead_warnings
from hfmnas_keras.settings.race import RaceSettings
from tests.hfmnas_keras.search import search_case
from tests.hfmnas_keras.search.search_case import FUSION, SETTINGS, make_rows, run_search

RACE = dataclasses.replace(
    SETTINGS, strategy="race", race=RaceSettings(candidates=4, rungs=(1, 2), kept=0.5), checkpoint_seconds=0.0
)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("race")
    return run_search(folder, folder / "report", settings=RACE), folder


def without_times(candidates):
    return [
        {
            **candidate,
            "history": [
                {key: value for key, value in epoch.items() if key != "seconds"} for epoch in candidate["history"]
            ],
        }
        for candidate in candidates
    ]


def weights_of(folder):
    """Of the candidates that reached the last rung, by file."""
    found = {}
    for path in sorted(folder.glob("candidate_*[0-9].npz")):
        with np.load(path, allow_pickle=False) as file:
            found[path.name] = [file[name].tobytes() for name in file.files if name != "header"]
    return found


def test_a_race_gives_its_best_candidate_and_says_how_each_did(uninterrupted):
    result, folder = uninterrupted
    assert [candidate["epochs"] for candidate in result.candidates] in (
        [2, 2, 1, 1],
        [2, 1, 2, 1],
        [2, 1, 1, 2],
    ) or sum(candidate["epochs"] for candidate in result.candidates) == 6
    finalists = [candidate for candidate in result.candidates if candidate["epochs"] == 2]
    best = min(finalists, key=lambda candidate: candidate["score"])
    assert best["genotype"]["cells"] == json.loads(result.genotype.to_json())["cells"]
    assert result.history == best["history"]
    assert best["score"] == best["history"][-1]["dev_loss"]
    # The other one that went as far can vote with it.
    (other,) = result.others
    assert [other.to_json()] == [
        dataclasses.replace(Genotype.from_content(candidate["genotype"]), metadata=other.metadata).to_json()
        for candidate in finalists
        if candidate is not best
    ]
    assert result.cost["weight_steps"] == 6 * 13
    report = json.loads((folder / "report" / "search.json").read_text())
    assert report["candidates"] == result.candidates
    assert (folder / "report" / "search.svg").is_file()
    assert len(weights_of(folder)) == 2


def made_up_epoch(epoch):
    """The record of an epoch that takes no time."""
    return {
        **dict.fromkeys(("train_loss", "added_loss", "dev_loss", "dev_macro_f1", "learning_rate", "seconds"), 1.0),
        "epoch": epoch + 1,
    }


def test_the_winners_lead_is_told_with_its_error(uninterrupted):
    _, folder = uninterrupted
    with np.load(folder / "race.npz", allow_pickle=False) as file:
        lead, error = json.loads(str(file["header"]))["record"]["plan"]["lead"]
    # The mean of the differences of the rows is the difference of the means.
    finalists = sorted(
        (candidate for candidate in uninterrupted[0].candidates if candidate["epochs"] == 2),
        key=lambda candidate: candidate["score"],
    )
    assert lead == pytest.approx(finalists[1]["score"] - finalists[0]["score"], abs=1e-5)
    assert 0 < error < 1
    assert (uninterrupted[0].verdict == "undecided") == (lead < 2 * error)
    (warning,) = lead_warnings(0.01, 0.006, 40)
    assert warning.verdict == "undecided"
    assert "0.0100 below" in warning.message and "0.0060 over 40 dev rows" in warning.message
    assert lead_warnings(0.01, 0.004, 40) == ()


def test_an_interrupted_race_goes_on_to_the_same_winner_with_the_same_weights(uninterrupted, tmp_path, monkeypatch):
    expected, expected_folder = uninterrupted
    run_epoch, epochs = CandidateTraining._run_epoch, []

    def interrupted(training, epoch):
        epochs.append(epoch)
        # In the second rung: the fifth epoch of six is lost.
        if len(epochs) == 5:
            raise KeyboardInterrupt
        return run_epoch(training, epoch)

    monkeypatch.setattr(CandidateTraining, "_run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_search(tmp_path, settings=RACE)
    monkeypatch.setattr(CandidateTraining, "_run_epoch", run_epoch)
    result = run_search(tmp_path, settings=RACE)
    assert result.genotype == expected.genotype
    assert without_times(result.candidates) == without_times(expected.candidates)
    assert weights_of(tmp_path) == weights_of(expected_folder)


@pytest.mark.long
def test_a_killed_race_goes_on_to_the_same_winner_with_the_same_weights(uninterrupted, tmp_path):
    expected, expected_folder = uninterrupted
    script = pathlib.Path(search_case.__file__)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(script.parents[3]), *sys.path]))
    changes = {"strategy": "race", "race": {"candidates": 4, "rungs": [1, 2], "kept": 0.5}}
    command = [sys.executable, str(script), str(tmp_path), "hf_mnas", json.dumps(changes)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 1200
        while not (tmp_path / "candidate_0001.npz").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    result = run_search(tmp_path, settings=RACE)
    assert result.genotype == expected.genotype
    assert without_times(result.candidates) == without_times(expected.candidates)
    assert weights_of(tmp_path) == weights_of(expected_folder)


def test_a_finished_race_trains_nothing_again(uninterrupted, monkeypatch):
    expected, folder = uninterrupted
    monkeypatch.setattr(CandidateTraining, "_run_epoch", None)
    assert run_search(folder, settings=RACE).candidates == expected.candidates


def test_what_is_above_the_bound_is_not_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(CandidateTraining, "_run_epoch", lambda training, epoch: made_up_epoch(epoch))
    cost_of = GenotypeCost(make_rows(50, 0).feature_shapes, 3, FUSION.fusion, FUSION.mitigation, RACE.channels)

    def parameters_of(folder, bound):
        # The first two are drawn, the others are children.
        race = RaceSettings(candidates=6, population=2, sample=2, rungs=(1,), max_parameters=bound)
        settings = dataclasses.replace(RACE, strategy="evolution", race=race, checkpoint_seconds=1e9)
        candidates = run_search(folder, settings=settings).candidates
        return [cost_of(Genotype.from_content(candidate["genotype"])).parameters for candidate in candidates]

    free = parameters_of(tmp_path / "free", None)
    bound = int(np.median(free))
    assert max(free[:2]) > bound < max(free[2:])
    assert max(parameters_of(tmp_path / "bound", bound)) <= bound


def test_another_race_does_not_go_on_from_this_one(uninterrupted):
    _, folder = uninterrupted
    other = dataclasses.replace(RACE, learning_rate=2e-3)
    with pytest.raises(ValueError, match=r"differs in: settings\.learning_rate"):
        run_search(folder, settings=other)


def test_a_seeded_race_begins_with_the_bilevel_searchs_genotype(tmp_path, monkeypatch):
    bilevel = run_search(tmp_path / "bilevel")
    asked = []
    inner = architecture_search.search_architecture

    def search(*arguments, **keywords):
        asked.append(arguments[4].strategy)
        assert keywords == {name: value for name, value in FUSION.search().items() if name != "fusion"}
        return bilevel

    monkeypatch.setattr(architecture_search, "search_architecture", search)
    seeded = dataclasses.replace(RACE, race=RaceSettings(candidates=2, rungs=(1,), kept=0.5, seeded=True))
    result = inner(
        make_rows(50, 0), make_rows(20, 1), 3, settings=seeded, checkpoint_dir=tmp_path / "race", **FUSION.search()
    )
    assert asked == ["bilevel"]
    assert result.candidates[0]["genotype"]["cells"] == json.loads(bilevel.genotype.to_json())["cells"]
    assert result.probabilities is bilevel.probabilities
    assert result.cost["seconds"] > bilevel.cost["seconds"]


@pytest.mark.parametrize(
    "changes, words",
    [({"model": "bm_nas"}, "model='bm_nas'.*strategy: bilevel"), ({"precision": "mixed_bfloat16"}, "float32")],
)
def test_what_cannot_be_raced_is_refused(changes, words, tmp_path):
    model = changes.pop("model", "hf_mnas")
    with pytest.raises(ValueError, match=words):
        search_architecture(
            make_rows(50, 0),
            make_rows(20, 1),
            3,
            settings=dataclasses.replace(RACE, **changes),
            checkpoint_dir=tmp_path,
            model=model,
            **FUSION.search(model),
        )
