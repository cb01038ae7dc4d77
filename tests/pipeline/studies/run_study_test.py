"""A study on made-up features, through the real search and training."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import pathlib
import signal
import sys
import threading
import time
import types

import numpy as np
import pytest
from sklearn.metrics import f1_score

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tiny_study import CLASSES, tiny_config, tiny_study, write_data

import hfmnas_keras
from hfmnas_keras.genotype.genotype import CELLS, Genotype
from hfmnas_keras.genotype.random_genotype import random_genotype
from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import SpaceSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training import final_training, two_fits
from pipeline.config_file import load_config, with_overrides
from pipeline.studies import trial_workers as trial_workers
from pipeline.studies.run_study import _Progress, plan, run_study
from pipeline.studies.studies import STUDIES
from pipeline.studies.train_trial import train_trial
from pipeline.studies.trial import Trial
from pipeline.studies.trial_store import TrialStore
from pipeline.studies.trial_workers import _next, train_trials
from pipeline.studies.variant import RANDOM, SEARCHED, Variant


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Where all studies of this file are."""
    return tmp_path_factory.mktemp("studies")


def run(study, root, data, seeds, show=lambda line: None, workers=0):
    return run_study(study, tiny_config(), seeds, root, workers, show=show, prepare=lambda config, folder: data)


def make_trial(**overrides):
    config = with_overrides(tiny_config(), {"model": "concatenation", **overrides})
    return Trial.of(config, 0, "made-up", SEARCHED)


@pytest.fixture(scope="module")
def resumed(root, data):
    """A study that is stopped after two of its four trials, and run again."""
    study = tiny_study("concatenation", "gmu")

    def stop(line):
        if line.startswith("[  2/4]"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(study, root, data, seeds=2, show=stop)
    first = {path: path.stat().st_mtime_ns for path in (root / "trials").glob("*.json")}
    half = json.loads((root / "tiny" / "tiny" / "results.json").read_text(encoding="utf-8"))
    lines = []
    results = run(study, root, data, seeds=2, show=lines.append)
    return first, half, lines, results


def test_a_stopped_study_has_the_results_so_far_and_goes_on(root, resumed):
    first, half, lines, results = resumed
    assert len(first) == 2
    assert [row["seeds"] for row in half["rows"]] == [[0], [0]]
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert "2 of them trained before, 2 to train" in lines[0]
    assert [row["seeds"] for row in results.rows()] == [[0, 1], [0, 1]]
    assert not list((root / "trials").glob("*.work"))


def test_the_numbers_are_those_of_the_saved_predictions(root, resumed):
    content = json.loads((root / "tiny" / "tiny" / "results.json").read_text(encoding="utf-8"))
    rows = {row["variant"]: row for row in content["rows"]}
    table = (root / "tiny" / "tiny" / "table.md").read_text(encoding="utf-8")
    expected = {}
    for path in (root / "trials").glob("*.npz"):
        model, seed = path.name.split("-")[:2]
        with np.load(path, allow_pickle=False) as arrays:
            assert len(set(arrays["ids"])) == 40
            np.testing.assert_allclose(arrays["probabilities"].sum(axis=1), 1.0, rtol=1e-6)
            given = arrays["probabilities"].argmax(axis=1)
            score = f1_score(arrays["labels"], given, labels=range(CLASSES), average="macro", zero_division=0)
        expected.setdefault(model, {})[int(seed.removeprefix("seed_"))] = score
    for model, scores in expected.items():
        values = [scores[0], scores[1]]
        assert rows[model]["test_macro_f1"] == pytest.approx(values)
        assert rows[model]["std"] == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2))
        assert f"| {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f} |" in table
    difference = np.mean(list(expected["gmu"].values())) - np.mean(list(expected["concatenation"].values()))
    assert rows["gmu"]["over_seeds"]["difference"] == pytest.approx(difference)
    assert rows["gmu"]["over_seeds"]["low"] < difference < rows["gmu"]["over_seeds"]["high"]
    assert "over_seeds" not in rows["concatenation"]
    assert (root / "tiny" / "tiny" / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_searched_model_is_searched_once_and_trials_are_shared_between_studies(root, data, resumed):
    before = {path: path.stat().st_mtime_ns for path in (root / "trials").glob("*.json")}
    lines = []
    results = run(tiny_study("concatenation", "hf_mnas"), root, data, seeds=1, show=lines.append)
    assert "2 trials, 1 of them trained before, 1 to train" in lines[0]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    row = results.rows()[1]
    assert row["search_seconds"][0] > 0 and row["parameters"][0] > 0 and row["flops"][0] > 0
    (searched,) = (root / "trials" / "searches").glob("hf_mnas-seed_0-*.json")
    # One node keeps all that there is: what is kept after the search is what the search itself would have kept.
    genotype = Genotype.from_json(json.loads(searched.read_text(encoding="utf-8"))["genotype"])
    trial = next(json.loads(path.read_text(encoding="utf-8")) for path in (root / "trials").glob("hf_mnas*.json"))
    assert Genotype.from_json(trial["genotype"]) == genotype and genotype.num_nodes == 1
    assert not list((root / "trials" / "searches").glob("*.work"))


def test_random_genotypes_are_drawn_by_the_seed_and_have_no_verdict(data, tmp_path):
    study = dataclasses.replace(
        tiny_study("hf_mnas"),
        variants_for=lambda config: [
            Variant("hf_mnas", {"model": "hf_mnas"}, genotype=RANDOM, least_seeds=2),
            Variant("bm_nas", {"model": "bm_nas"}),
        ],
    )
    random, searched = run(study, tmp_path, data, seeds=1).rows()
    assert random["seeds"] == [0, 1] and random["verdicts"] == [] and random["search_seconds"] == [None, None]
    assert searched["seeds"] == [0] and len(searched["verdicts"]) == 1 and searched["search_seconds"][0] > 0
    genotypes = {}
    for path in (tmp_path / "trials").glob("hf_mnas*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        genotypes[record["settings"]["training"]["seed"]] = Genotype.from_json(record["genotype"])
    assert genotypes == {seed: random_genotype(tiny_config().space, tiny_config().fusion, seed) for seed in (0, 1)}
    assert genotypes[0] != genotypes[1]


def test_a_fresh_study_trains_what_is_there_again(data, tmp_path):
    study = tiny_study("concatenation")
    run(study, tmp_path, data, seeds=1)
    (path,) = (tmp_path / "trials").glob("*.json")
    path.write_text(path.read_text(encoding="utf-8").replace('"test_macro_f1": 0', '"test_macro_f1": 7'))
    assert run(study, tmp_path, data, seeds=1).rows()[0]["mean"] > 1
    fresh = run_study(study, tiny_config(), 1, tmp_path, 0, True, lambda line: None, lambda config, folder: data)
    assert 0 < fresh.rows()[0]["mean"] < 1


def test_a_search_of_an_earlier_state_of_the_package_is_made_again(data, tmp_path):
    trial, store = make_trial(model="hf_mnas"), TrialStore(tmp_path)
    store.write_search(trial, {"genotype": "of old", "probabilities": {}, "travel": {}, "verdict": "decided"})
    assert train_trial(trial, data, store)["status"] == "finished"
    assert "others" in store.read_search(trial)


@pytest.mark.parametrize("kept_nodes, collapsed", [(1, True), (2, False)])
def test_the_verdict_is_on_the_genotype_that_the_trial_has(data, tmp_path, kept_nodes, collapsed):
    overrides = {"model": "hf_mnas", "space.num_nodes": 2, "space.kept_nodes": kept_nodes}
    trial, store = make_trial(**overrides), TrialStore(tmp_path)
    # The likelier node has two `skip`, all of a trial that keeps one node and half of one that keeps both, where more
    # than half would be a collapse.
    operations = np.array(["skip", "skip", "sep_conv_3x3", "dil_conv_3x3", "none"])
    gamma = np.full((5, len(EDGE_OPERATIONS)), 0.02)
    gamma[np.arange(5), [EDGE_OPERATIONS.index(name) for name in operations]] = 0.82
    beta = np.full((2, len(NODE_OPERATIONS)), 0.025)
    beta[[0, 1], [0, 1]] = 0.8
    tables = {"gamma": gamma, "beta": beta, "importance": np.array([0.7, 0.3])}
    store.write_search(
        trial,
        {
            "genotype": random_genotype(trial.searched_space, trial.fusion, 0).to_json(),
            "probabilities": {f"{name}/{kind}": table.tolist() for name in CELLS for kind, table in tables.items()},
            "search_seconds": 1.0,
            "travel": {"possible": 5.0, "largest": 3.0},
            "entropies": [{"gamma_entropy": 0.5, "beta_entropy": 0.5}],
            "others": [],
        },
    )
    record = train_trial(trial, data, store)
    assert record["status"] == "finished", record["reason"]
    assert Genotype.from_json(record["genotype"]).cells["lfbc"].kept == (0, 1)[:kept_nodes]
    assert record["verdict"] == ("collapsed" if collapsed else "decided"), record["warnings"]
    assert any("`skip`" in warning for warning in record["warnings"]) == collapsed


def test_a_trial_that_was_killed_in_its_training_ends_as_if_it_had_not_been(data, tmp_path, monkeypatch):
    trial = make_trial()
    stores = [TrialStore(tmp_path / name) for name in ("whole", "killed")]
    train_trial(trial, data, stores[0])
    save = final_training.SavedState.save

    def save_and_die(self, *arguments):
        save(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(final_training.SavedState, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train_trial(trial, data, stores[1])
    assert stores[1].read(trial) is None and stores[1].work_folder(trial).is_dir()
    train_trial(trial, data, stores[1])
    whole, killed = (store.read_predictions(trial)["probabilities"] for store in stores)
    np.testing.assert_array_equal(whole, killed)
    assert not stores[1].work_folder(trial).exists()


def test_a_trial_that_fails_is_told_and_does_not_end_the_study(data, tmp_path, monkeypatch):
    monkeypatch.setattr(
        two_fits.TwoFits, "fit", lambda *arguments: (_ for _ in ()).throw(RuntimeError("the loss is NaN"))
    )
    results = run(tiny_study("concatenation", "gmu"), tmp_path, data, seeds=1)
    assert [row["failed"] for row in results.rows()] == [{0: "RuntimeError: the loss is NaN"}] * 2
    table = (tmp_path / "tiny" / "tiny" / "table.md").read_text(encoding="utf-8")
    assert "gmu, seed 0: failed. RuntimeError: the loss is NaN" in table and "| 0, 1 failed |" in table


def test_a_reason_of_many_lines_is_one_in_the_table_and_whole_in_the_results(data, tmp_path, monkeypatch):
    reason = "Graph execution error:\n\n" + "\n".join(f"  node_{number} of a graph" for number in range(100))
    monkeypatch.setattr(two_fits.TwoFits, "fit", lambda *arguments: (_ for _ in ()).throw(RuntimeError(reason)))
    lines = []
    run(tiny_study("concatenation"), tmp_path, data, seeds=1, show=lines.append)
    assert "FAILED: RuntimeError: Graph execution error: node_0 of a graph node_1" in lines[1] and "\n" not in lines[1]
    results = json.loads((tmp_path / "tiny" / "tiny" / "results.json").read_text(encoding="utf-8"))
    assert results["rows"][0]["failed"] == {"0": f"RuntimeError: {reason}"}
    table = (tmp_path / "tiny" / "tiny" / "table.md").read_text(encoding="utf-8")
    assert "node_1 of" in table and "node_99" not in table


def test_a_worker_that_dies_before_it_has_read_its_trial_is_told_too(data, tmp_path, monkeypatch):
    begin = trial_workers._Worker.begin

    def begin_and_die(self, job):
        begin(self, job)
        self.process.kill()

    monkeypatch.setattr(trial_workers._Worker, "begin", begin_and_die)
    store, trial = TrialStore(tmp_path), make_trial()
    ((ended, record, _),) = train_trials([(trial, data)], store, workers=1)
    assert ended == trial and "signal 9" in record["reason"] and store.read(trial)["status"] == "failed"


@pytest.mark.long
def test_workers_have_one_thread_and_one_that_dies_takes_its_trial_alone(data, tmp_path):
    store = TrialStore(tmp_path)
    killed, trained = make_trial(), make_trial(**{"final_model.channels": 16})

    def kill_when_begun():
        while not store.log_path(killed).exists():
            time.sleep(0.01)
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_when_begun)
    killer.start()
    ended = {trial: record for trial, record, _ in train_trials([(killed, data), (trained, data)], store, workers=1)}
    killer.join()
    assert ended[killed]["status"] == "failed" and "signal 9" in ended[killed]["reason"]
    assert ended[trained]["status"] == "finished" and ended[trained]["threads"] == "1"
    assert store.read(killed)["status"] == "failed"
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ and not multiprocessing.active_children()


@pytest.mark.long
def test_a_process_trains_so_many_trials_and_then_another_one(data, tmp_path, monkeypatch):
    monkeypatch.setattr(trial_workers, "TRIALS_A_PROCESS", 2)
    jobs = [(make_trial(**{"final_model.channels": channels}), data) for channels in (8, 16, 24)]
    processes = []
    for _, record, _ in train_trials(jobs, TrialStore(tmp_path), workers=1):
        assert record["status"] == "finished"
        processes += [child.pid for child in multiprocessing.active_children()]
    assert processes[0] == processes[1] != processes[2]


def test_two_trials_of_one_search_are_not_begun_at_once_where_there_are_others(data):
    search = {"model": "hf_mnas", "space.num_nodes": 2}
    first, same, other = (
        make_trial(**search, **more) for more in ({}, {"final_model.num_cells": 2}, {"search.epochs": 2})
    )
    crew = [types.SimpleNamespace(job=(first, data)), types.SimpleNamespace(job=None)]
    pending = [(same, data), (other, data)]
    assert [_next(pending, crew)[0], _next(pending, crew)[0]] == [other, same] and not pending
    # Models that are not searched do not wait for one another.
    plain = [(make_trial(), data), (make_trial(**{"final_model.channels": 16}), data)]
    crew[0].job = plain[0]
    assert _next([plain[1], (other, data)], crew) == plain[1]


def test_the_time_left_is_that_of_the_workers_with_something_to_do():
    plain = [make_trial(**{"final_model.channels": channels}) for channels in (2, 4, 6, 8)]
    searched = make_trial(**{"model": "hf_mnas"})
    progress = _Progress([(trial, None) for trial in (*plain, searched)], workers=2)
    # What a search takes is not known yet: it is not less than the rest.
    assert progress.after(plain[0], 40.0) == "more than 80 s left"
    assert progress.after(searched, 60.0) == "about 60 s left"
    assert progress.after(plain[1], 20.0) == "about 30 s left"
    # The second worker has nothing to do.
    assert progress.after(plain[2], 30.0) == "about 30 s left"
    assert progress.after(plain[3], 30.0) == "none left"


def test_names_follow_from_what_has_an_influence():
    def searched(**overrides):
        return make_trial(**{"model": "hf_mnas", "space.num_nodes": 2, **overrides})

    trial = searched()
    assert trial.name == searched(**{"search.checkpoint_seconds": 7.0}).name
    others = {
        "training": searched(**{"training.learning_rate": 0.02}),
        "encoder": searched(**{"final_model.sequence_encoder": True}),
        "stacked": searched(**{"final_model.num_cells": 2}),
        "kept": searched(**{"space.kept_nodes": 2}),
        "search": searched(**{"search.epochs": 2}),
        "mitigation": searched(**{"mitigation.attention": False}),
        "data": dataclasses.replace(trial, data="other"),
    }
    assert len({trial.name, *(other.name for other in others.values())}) == 8
    # What the final model alone reads needs no search of its own.
    shared = {name for name, other in others.items() if other.search_name == trial.search_name}
    assert shared == {"training", "encoder", "stacked", "kept"}
    # Where a search looks at the discretised model, it looks at what is kept.
    best = {"search.select": "best_discretised", "search.discretised_every": 1}
    assert searched(**best).search_name != searched(**best, **{"space.kept_nodes": 2}).search_name
    drawn = Trial.of(with_overrides(tiny_config(), {"model": "hf_mnas"}), 3, "made-up", RANDOM)
    assert drawn.search_name is None and drawn.random_genotype == 3 and drawn.seed == 3
    assert make_trial().search_name is None


def test_a_new_setting_leaves_the_names_of_what_was_trained_without_it(monkeypatch):
    """The names of this trial when the settings were split by reader."""
    monkeypatch.setattr(hfmnas_keras, "__version__", "0.1.0")
    trial = Trial(
        "hf_mnas",
        FusionSettings(),
        MitigationSettings(),
        SpaceSettings(num_nodes=2, kept_nodes=2),
        FinalModelSettings(),
        SearchSettings(seed=3),
        TrainingSettings(seed=3),
        None,
        0.5,
        "x",
    )
    assert (trial.name, trial.search_name) == ("hf_mnas-seed_3-ad90fa3d6182", "hf_mnas-seed_3-423b1b931b79")
    changed = dataclasses.replace(trial, fusion=dataclasses.replace(trial.fusion, attention_values="key"))
    assert changed.name != trial.name and changed.search_name != trial.search_name


def test_a_record_of_another_default_is_not_taken(tmp_path):
    store, trial = TrialStore(tmp_path), make_trial()
    store.write(trial, {"status": "finished"})
    path = tmp_path / f"{trial.name}.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    # A setting that was there and one that is new.
    del record["settings"]["fusion"]["vector_to_grid"]
    path.write_text(json.dumps(record), encoding="utf-8")
    assert store.read(trial)["status"] == "finished"
    record["settings"]["mitigation"]["correlation_weight"] = 0.7
    path.write_text(json.dumps(record), encoding="utf-8")
    assert store.read(trial) is None
    path.write_text("{", encoding="utf-8")
    with pytest.raises(RuntimeError, match="damaged"):
        store.read(trial)


@pytest.mark.parametrize("damage", [b"", b"PK, but no archive", None], ids=["empty", "no archive", "cut off"])
def test_damaged_predictions_are_told_with_the_cure(tmp_path, damage):
    store, trial = TrialStore(tmp_path), make_trial()
    predictions = {
        "ids": np.array(["a"]),
        "labels": np.array([0]),
        "probabilities": np.ones((1, 1)),
        "thresholds": np.array(0.5),
    }
    store.write(trial, {"status": "finished"}, predictions)
    np.testing.assert_array_equal(store.read_predictions(trial)["labels"], [0])
    path = tmp_path / f"{trial.name}.npz"
    path.write_bytes(path.read_bytes()[:-30] if damage is None else damage)
    with pytest.raises(RuntimeError, match=rf"Remove {trial.name}\.json beside it"):
        store.read_predictions(trial)


def test_what_is_trained_anew_does_not_go_on_from_a_checkpoint(tmp_path):
    store, trial = TrialStore(tmp_path), make_trial(**{"model": "hf_mnas"})
    store.write(trial, {"status": "finished"})
    store.write_search(trial, {"genotype": "..."})
    checkpoints = [store.work_folder(trial), store.search_work_folder(trial)]
    for folder in checkpoints:
        folder.mkdir(parents=True)
    store.remove(trial)
    assert store.read(trial) is None and store.read_search(trial) is None
    assert not any(folder.exists() for folder in checkpoints)


@pytest.mark.parametrize("name", ["methods", "top_k"])
def test_a_configuration_that_tunes_can_be_studied(name, data):
    # Choices of `hf_mnas` alone, while `methods` has other models and `top_k` fewer kept nodes.
    config = with_overrides(load_config("demo"), {"tuning": {"choices": {"space.kept_nodes": [2]}}})
    planned = plan(STUDIES[name], config, 1, lambda config: data)
    assert {place.trial.name for place in planned} == {
        place.trial.name for place in plan(STUDIES[name], load_config("demo"), 1, lambda config: data)
    }


def test_one_run_of_the_pipeline_for_each_choice_of_the_data(data):
    from pipeline.studies.study import Study
    from pipeline.studies.variant import Variant

    variants = [
        Variant("a", {"model": "gmu"}),
        Variant("b", {"model": "gmu", "data.inconsistency": {"rate": 0.3}}),
        Variant("c", {"model": "hf_mnas", "data.inconsistency.rate": 0.3}, least_seeds=3),
    ]
    prepared = []

    def prepare(config):
        prepared.append(config)
        return dataclasses.replace(data, digest=str(len(prepared)))

    planned = plan(Study("s", "t", "p", "a", lambda config: variants), tiny_config(), 1, prepare)
    assert [config.data.inconsistency and config.data.inconsistency.rate for config in prepared] == [None, 0.3]
    assert [(place.variant.name, place.seed) for place in planned] == [
        ("a", 0),
        ("b", 0),
        ("c", 0),
        ("c", 1),
        ("c", 2),
    ]
    assert [place.trial.data for place in planned[:3]] == ["1", "2", "2"]
    bad = Study("s", "t", "p", "a", lambda config: [Variant("a", {"fusion.no_such": 1})])
    with pytest.raises(ValueError, match="fusion.no_such.*unknown key"):
        plan(bad, tiny_config(), 1, prepare)
    assert len(prepared) == 2
