import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from keras import ops
from sklearn import metrics as sklearn_metrics
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util import tensor_util

from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.genotype.load_genotype import genotype_from_json, load_genotype
from hfmnas_keras.models.fusion_network import fusion_network
from hfmnas_keras.models.supernet_of import supernet_of
from hfmnas_keras.optimization import loss_scale
from hfmnas_keras.optimization.saved_state import SavedState
from hfmnas_keras.search import bilevel_search
from hfmnas_keras.search.architecture_search import search_architecture
from hfmnas_keras.search.bilevel_step import BilevelStep
from hfmnas_keras.search.search_report import SearchReport
from hfmnas_keras.settings.models import SEARCHED_MODELS
from hfmnas_keras.settings.search import SearchSettings
from tests.hfmnas_keras.cell.chosen_weights import copy_model
from tests.hfmnas_keras.models.bm_nas.chosen_weights import copy_bm_model
from tests.hfmnas_keras.search import search_case
from tests.hfmnas_keras.search.search_case import FUSION, SETTINGS, make_rows, run_search


@pytest.fixture(scope="module", params=SEARCHED_MODELS)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("uninterrupted")
    return run_search(folder, folder / "report", model=model), folder


def without_times(history):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


def saved_values(folder):
    with np.load(folder / "search.npz", allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
        names = [name for name, _, _ in header["variables"]]
        return [file[f"variable_{i:05d}"].copy() for i in range(len(names))]


def start_search(folder, model, *report_dir, **settings):
    script = pathlib.Path(search_case.__file__)
    root = script.parents[3]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, str(script), str(folder), model, json.dumps(settings), *map(str, report_dir)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def last_save(folder):
    """When the last checkpoint was written; None where there is none, as between the two renames of a save."""
    try:
        return (folder / "search.npz").stat().st_mtime_ns
    except FileNotFoundError:
        return None


def wait_for_save(process, folder, before=None):
    """Waits for a checkpoint other than that of the time `before`, and returns its time."""
    deadline = time.monotonic() + 240
    while (saved := last_save(folder)) in (None, before):
        assert process.poll() is None, "the search ended before its next checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return saved


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def same_end(result, folder, expected, expected_folder):
    assert result.genotype == expected.genotype
    assert without_times(result.history) == without_times(expected.history)
    for name, values in expected.probabilities.items():
        assert result.probabilities[name].tobytes() == values.tobytes()
    for value, expected_value in zip(saved_values(folder), saved_values(expected_folder), strict=True):
        assert value.tobytes() == expected_value.tobytes()


@pytest.mark.parametrize("model", ["hf_mnas", pytest.param("bm_nas", marks=pytest.mark.long)], indirect=True)
def test_killed_search_goes_on_and_ends_in_the_same_place(uninterrupted, model, tmp_path):
    process = start_search(tmp_path, model)
    try:
        wait_for_save(process, tmp_path)
    finally:
        kill(process)
    with np.load(tmp_path / "search.npz", allow_pickle=False) as file:
        record = json.loads(str(file["header"]))["record"]
    assert (record["epoch"], record["position"]) < (SETTINGS.epochs, 0)
    same_end(run_search(tmp_path, model=model), tmp_path, *uninterrupted)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_twenty_kills_change_nothing(tmp_path):
    """Ten in or right after a save, as there is one after each step; six while a search starts, that is while it is
    built, restored or traced; four when it has done several steps that no checkpoint has."""
    seed, epochs = 20, 6
    expected = run_search(tmp_path / "whole", settings=dataclasses.replace(SETTINGS, epochs=epochs))
    generator = np.random.default_rng(seed)
    # The first one tells how long a start takes on this machine.
    moments = ["save", *generator.permutation(["save"] * 9 + ["start"] * 6 + ["steps"] * 4)]
    folder, report = tmp_path / "killed", tmp_path / "report"
    kills, sizes, start_seconds = [], [], None
    for moment in moments:
        # Where saves are that far apart, there is one after the tracing of each kind of step, and then none for long.
        seldom = {"checkpoint_seconds": 1.0} if moment == "steps" else {}
        before, started = last_save(folder), time.monotonic()
        process = start_search(folder, "hf_mnas", report, epochs=epochs, **seldom)
        try:
            if moment == "start":
                # Before that it imports.
                seconds = generator.uniform(0.4, 1.0) * start_seconds
            else:
                saved = wait_for_save(process, folder, before)
                start_seconds = start_seconds or time.monotonic() - started
                if moment == "steps":
                    wait_for_save(process, folder, saved)
                seconds = generator.uniform(0.0, 0.3 if moment == "steps" else 0.03)
            time.sleep(seconds)
            kills.append(f"{moment} + {seconds:.3f} s")
            # Shown where anything fails from here on.
            print(f"Kill {len(kills)} of seed {seed}: {kills[-1]}")
            assert process.poll() is None, f"the search ended before the last of these kills (seed {seed}): {kills}"
        finally:
            kill(process)
        sizes.append(sum(path.stat().st_size for path in folder.iterdir()))
    result = run_search(folder, report, settings=dataclasses.replace(SETTINGS, epochs=epochs))
    same_end(result, folder, expected, tmp_path / "whole")
    # The last state, the one before and, of a save that was cut off, a part: never more.
    names = {"search.npz", "search.previous.npz", "search.npz.partial"}
    assert {path.name for path in folder.iterdir()} <= names
    assert max(sizes) <= 3 * (folder / "search.npz").stat().st_size * 1.1
    assert json.loads((report / "search.json").read_text())["history"] == result.history
    assert [step for step, _ in logged(report / "tensorboard")["search/train_loss"]] == list(range(1, epochs + 1))


def test_discretised_score_is_that_of_the_searched_model_with_the_same_weights(uninterrupted, model):
    result, folder = uninterrupted
    dev = make_rows(20, 1)
    fusion = FUSION.changed(sequence_encoder=False)
    supernet = supernet_of(model, dev.feature_shapes, 3, **fusion.supernet(model))
    values = saved_values(folder)
    for variable, value in zip(supernet.variables, values, strict=False):
        variable.assign(value)
    network = fusion_network(model, dev.feature_shapes, 3, **fusion.model, genotype=result.genotype)
    {"hf_mnas": copy_model, "bm_nas": copy_bm_model}[model](supernet, network)
    logits = ops.convert_to_numpy(network(dev.features, training=False)["logits"]).astype("float64")
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    record = result.history[-1]
    expected = -log_probabilities[np.arange(20), dev.labels].mean()
    assert record["discretised_dev_loss"] == pytest.approx(expected, abs=1e-5)
    expected = sklearn_metrics.f1_score(dev.labels, logits.argmax(axis=1), average="macro", zero_division=0)
    assert record["discretised_dev_macro_f1"] == pytest.approx(expected, abs=1e-6)
    # Another score than the supernet's.
    assert abs(record["discretised_dev_loss"] - record["dev_loss"]) > 1e-3


# In both models the same code of the search: once is enough.
@pytest.mark.parametrize("model", ["hf_mnas"], indirect=True)
def test_discretised_score_changes_nothing_else(uninterrupted, model, tmp_path):
    expected, expected_folder = uninterrupted
    result = run_search(tmp_path, settings=dataclasses.replace(SETTINGS, discretised_every=0), model=model)
    assert result.genotype == expected.genotype
    for value, expected_value in zip(saved_values(tmp_path), saved_values(expected_folder), strict=True):
        assert value.tobytes() == expected_value.tobytes()
    for record, expected_record in zip(result.history, without_times(expected.history), strict=True):
        assert record["discretised_dev_loss"] is record["discretised_dev_macro_f1"] is None
        shared = {key: value for key, value in expected_record.items() if not key.startswith("discretised")}
        assert {key: record[key] for key in shared} == shared


def test_history_and_cost(uninterrupted):
    result, _ = uninterrupted
    assert [record["epoch"] for record in result.history] == [1, 2, 3]
    for record in result.history:
        assert 0 <= record["dev_macro_f1"] <= 1
        assert record["train_loss"] > 0
        assert record["architecture_loss"] > 0
        assert record["added_loss"] >= 0
        assert 0 < record["gamma_entropy"] <= 1
        assert 0 < record["beta_entropy"] <= 1
        assert 0 < record["skip_share"] < 1
    # 13 weight steps an epoch; ceil(50 / 20) = 3 weight steps for one architecture step, 5 an epoch
    assert result.cost["weight_steps"] == 39
    assert result.cost["architecture_steps"] == 15
    assert result.cost["seconds"] > 0
    assert result.cost["peak_memory_bytes"] > 1e6
    assert result.travel["possible"] == pytest.approx(SETTINGS.travel)
    assert 0 < result.travel["largest"] <= result.travel["possible"] * 1.5
    assert json.loads(result.genotype.to_json()) == result.history[-1]["genotype"]
    assert result.epoch == 3
    for name, values in result.probabilities.items():
        np.testing.assert_allclose(result.history[-1]["probabilities"][name], values, atol=1e-6)


def test_report_files(uninterrupted, model):
    result, folder = uninterrupted
    report = folder / "report"
    assert load_genotype(report / "genotype.json", model) == result.genotype
    content = json.loads((report / "search.json").read_text())
    assert content["history"] == result.history
    assert content["settings"]["seed"] == 7
    assert content["verdict"] == result.verdict
    assert content["warnings"] == [dataclasses.asdict(warning) for warning in result.warnings]
    for label, table in result.genotype.probability_tables().items():
        array = np.array(content["probabilities"][label])
        assert array.shape == (len(table.rows), len(table.columns))
        assert table.columns[:2] == ("none", "skip") or label.endswith("beta")
        np.testing.assert_allclose(array.sum(axis=1), 1.0, rtol=1e-5)
    assert (report / "genotype.mmd").read_text().strip()
    curves = ElementTree.parse(report / "search.svg").iter("{http://www.w3.org/2000/svg}text")
    assert [element.text for element in curves].count("dev, discretised") == 2
    # bounded: the last state and the one before
    assert sorted(path.name for path in folder.glob("search*")) == ["search.npz", "search.previous.npz"]


def logged(folder):
    """Scalars, and weights and edges of histograms, by tag and step, as TensorBoard reads them."""
    events = event_accumulator.EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    return {
        tag: [(event.step, tensor_util.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }


@pytest.mark.parametrize("after", ["a whole run", "a run that was cut off"])
def test_tensorboard_logs_have_each_epoch_once(uninterrupted, tmp_path, after):
    result, folder = uninterrupted
    tensorboard = folder / "report" / "tensorboard"
    if after != "a whole run":
        # What an attempt leaves that was cut off after the log of epoch 2 and goes on from the checkpoint of epoch 1.
        report = SearchReport(tmp_path)
        report.begin(result.history[:2])
        report = SearchReport(tmp_path)
        report.begin(result.history[:1])
        report.write_epoch(result.history[1])
        report.write_epoch(result.history[2])
        tensorboard = tmp_path / "tensorboard"
    values = logged(tensorboard)
    for name in ("train_loss", "dev_macro_f1", "discretised_dev_macro_f1", "gamma_entropy", "largest_movement"):
        steps, scalars = zip(*values[f"search/{name}"], strict=True)
        assert steps == (1, 2, 3)
        np.testing.assert_allclose(scalars, [record[name] for record in result.history], rtol=1e-6)
    for label, array in result.probabilities.items():
        (first, _), (second, _), (third, histogram) = values[f"probabilities/{label}"]
        assert (first, second, third) == (1, 2, 3)
        # Buckets of left edge, right edge and count.
        assert histogram[:, 2].sum() == array.size
        assert histogram[0, 0] == pytest.approx(array.min(), abs=1e-6)
        assert histogram[-1, 1] == pytest.approx(array.max(), abs=1e-6)
    (file,) = tensorboard.iterdir()
    # In the number of epochs alone: choices, their operations and the width of the search add nothing.
    assert file.stat().st_size < 3 * 10_000


def test_heads_that_know_their_rows_are_told_of(uninterrupted, tmp_path, caplog):
    result, _ = uninterrupted
    head = {"train_macro_f1": 0.998, "dev_macro_f1": 0.75, "cross_fitted_macro_f1": None, "warning": "text: .998, .75"}
    fair = {"train_macro_f1": 0.8, "dev_macro_f1": 0.75, "cross_fitted_macro_f1": 0.74, "warning": None}
    report = SearchReport(tmp_path, {"text": {**head, "curves": {}}, "image": {**fair, "epochs": 3}})
    with caplog.at_level("WARNING", logger="absl"):
        report.write(result, SETTINGS)
    content = json.loads((tmp_path / "search.json").read_text())
    assert content["unimodal_heads"] == {"text": head, "image": fair}
    assert ["text: .998, .75" in message for message in caplog.messages] == [True]


def test_finished_search_is_not_run_again(uninterrupted, model):
    expected, folder = uninterrupted
    before = (folder / "search.npz").stat().st_size
    started = time.monotonic()
    result = run_search(folder, model=model)
    assert time.monotonic() - started < 60
    assert result.genotype == expected.genotype
    assert result.history == expected.history
    assert abs((folder / "search.npz").stat().st_size - before) < 100


def test_other_settings_and_another_model_do_not_resume(uninterrupted, model):
    _, folder = uninterrupted
    with pytest.raises(ValueError, match=r"settings\.learning_rate"):
        run_search(folder, settings=dataclasses.replace(SETTINGS, learning_rate=0.01), model=model)
    (other,) = set(SEARCHED_MODELS) - {model}
    with pytest.raises(ValueError, match="differs in: model"):
        run_search(folder, model=other)
    with pytest.raises(ValueError, match="There is no searched model 'gmu'. Known ones: hf_mnas, bm_nas"):
        run_search(folder, model="gmu")


def test_little_travel_is_warned_of_and_a_damaged_checkpoint_is_an_error(tmp_path, caplog):
    (tmp_path / "search.npz").write_bytes(b"PK")
    settings = dataclasses.replace(SETTINGS, architecture_learning_rate=3e-4)
    logging.set_verbosity(logging.INFO)
    with (
        caplog.at_level("WARNING", logger="absl"),
        pytest.raises(RuntimeError, match="Cannot read"),
    ):
        run_search(tmp_path, settings=settings)
    # 5 architecture steps in each of 3 epochs
    assert any("can travel only 0.0045" in message for message in caplog.messages)


def test_rows_must_fit(tmp_path):
    train = make_rows(10, 0)
    without = FeatureSet(train.ids, {"text_low": train.features["text_low"]}, train.labels)
    with pytest.raises(ValueError, match="image_low"):
        search_architecture(without, without, 3, FUSION.fusion, SETTINGS, tmp_path)
    with pytest.raises(ValueError, match="num_outputs=2"):
        search_architecture(train, train, 2, FUSION.fusion, SETTINGS, tmp_path)


@pytest.fixture
def eager_steps():
    """Tracing would take all the time of a search of few steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def run_few_steps(folder, model="hf_mnas", fusion=FUSION, **settings):
    """Three weight steps and two architecture steps an epoch."""
    settings = SearchSettings(channels=8, batch_size=4, **settings)
    return search_architecture(
        make_rows(12, 0),
        make_rows(8, 1),
        3,
        settings=settings,
        checkpoint_dir=folder,
        model=model,
        **fusion.search(model),
    )


def run_smallest(folder, **settings):
    """The network whose steps take the least, where it does not matter what is searched."""
    fusion = FUSION.changed(sequence_encoder=False, inner_steps=1, in_bm_nas=False)
    return run_few_steps(folder, "bm_nas", fusion, discretised_every=0, **settings)


@pytest.fixture
def asked_steps(eager_steps, monkeypatch):
    """The steps that the loop asks for, as their kind and the row numbers they are given; none is done."""
    steps = []
    for kind, name in (("weights", "weight_step"), ("architecture", "architecture_step")):
        monkeypatch.setattr(
            BilevelStep, name, lambda step, *rows, kind=kind: steps.append((kind, *(each.tolist() for each in rows)))
        )
    return steps


@pytest.mark.parametrize(
    ("alternation", "order", "looked_ahead_to"),
    [
        ("ratio", ["architecture", "weights", "weights", "architecture", "weights"], [0, 2, 3, 5]),
        ("every_step", ["architecture", "weights"] * 3, [0, 1, 2, 3, 4, 5]),
        # The n-th after the weight steps looks at the rows of the n-th one to come; those of the last epoch look at an
        # epoch that is not run.
        ("phased", ["weights", "weights", "weights", "architecture", "architecture"], [3, 4]),
    ],
)
def test_steps_are_done_in_the_order_of_the_schedule_on_the_rows_they_should_read(
    asked_steps, tmp_path, alternation, order, looked_ahead_to
):
    run_smallest(tmp_path, epochs=2, alternation=alternation, second_order=True)
    assert [kind for kind, *_ in asked_steps] == order * 2
    weight_rows = [rows for kind, *rows in asked_steps if kind == "weights"]
    assert all(len(rows) == 1 for rows in weight_rows)
    train = [rows for (rows,) in weight_rows]
    dev, ahead = zip(*(rows for kind, *rows in asked_steps if kind == "architecture"), strict=True)
    # Each row once a pass, and each pass in an order of its own.
    for batches, a_pass, rows in ((train, 3, 12), (dev, 2, 8)):
        passes = [sum(batches[first : first + a_pass], []) for first in range(0, len(batches), a_pass)]
        assert [sorted(each) for each in passes] == [list(range(rows))] * len(passes)
        assert len({tuple(each) for each in passes}) == len(passes) >= 2
    assert list(ahead[: len(looked_ahead_to)]) == [train[number] for number in looked_ahead_to]


def test_the_seed_gives_the_weights_the_masks_and_the_batches(asked_steps, tmp_path):
    found = []
    for name, seed in (("first", 0), ("same", 0), ("other", 1)):
        asked_steps.clear()
        (record,) = run_smallest(tmp_path / name, epochs=1, seed=seed).history
        with np.load(tmp_path / name / "search.npz", allow_pickle=False) as file:
            names = [variable for variable, _, _ in json.loads(str(file["header"]))["variables"]]
            masks = [file[f"variable_{i:05d}"].tolist() for i, each in enumerate(names) if "seed_generator" in each]
        # As no step is done, the loss is that of the initial weights.
        found.append(
            {
                "weights": record["dev_loss"],
                "gamma": record["probabilities"],
                "masks": masks,
                "train": [rows for kind, *rows in asked_steps if kind == "weights"],
                "dev": [rows for kind, *rows in asked_steps if kind == "architecture"],
            }
        )
    first, same, other = found
    assert first == same
    assert {key for key in first if first[key] == other[key]} == set()
    # Of the first order, an architecture step is given no train rows.
    assert {len(rows) for rows in first["dev"]} == {1}


def test_a_stable_search_stops_and_one_that_was_cut_off_stops_at_the_same_epoch(
    eager_steps, tmp_path, monkeypatch, caplog
):
    # At this rate no choice ever changes.
    settings = {"epochs": 6, "architecture_learning_rate": 1e-9, "stop_when_stable": 3, "discretised_every": 2}
    with caplog.at_level("WARNING", logger="absl"):
        expected = run_few_steps(tmp_path / "whole", **settings)
    assert [record["epoch"] for record in expected.history] == [1, 2, 3]
    # Every second epoch and the last.
    assert [record["discretised_dev_macro_f1"] is None for record in expected.history] == [True, False, False]
    assert (expected.cost["weight_steps"], expected.cost["architecture_steps"]) == (9, 6)
    assert expected.travel["possible"] == pytest.approx(6e-9)
    assert expected.verdict == "undecided"
    assert any("Search undecided (travel): No architecture logit moved by more" in text for text in caplog.messages)

    peaks = iter((8_000, 6_000, 7_000))
    monkeypatch.setattr(bilevel_search, "peak_memory_bytes", lambda: next(peaks, 5_000))
    save, calls = bilevel_search.BilevelSearch._save, []

    def save_and_end(search):
        save(search)
        calls.append(search.epoch)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(bilevel_search.BilevelSearch, "_save", save_and_end)
    with pytest.raises(KeyboardInterrupt):
        run_few_steps(tmp_path / "cut", **settings)
    assert calls == [1]
    result = run_few_steps(tmp_path / "cut", **settings)
    assert without_times(result.history) == without_times(expected.history)
    assert result.genotype == expected.genotype
    # That of the process which took most, the first.
    assert result.cost["peak_memory_bytes"] == 8_000
    # Called again, it is found finished: what this process takes is no cost of the search.
    monkeypatch.setattr(bilevel_search, "peak_memory_bytes", lambda: 9_000)
    again = run_few_steps(tmp_path / "cut", **settings)
    assert again.history == result.history
    assert again.cost == result.cost


def test_the_genotype_of_the_best_dev_epoch_can_be_taken(eager_steps, tmp_path, monkeypatch):
    # The scores are given, so that it is known which epoch must be chosen.
    scores = iter((0.5, 0.7, 0.7, 0.6))
    monkeypatch.setattr(
        bilevel_search.BilevelSearch,
        "_discretised_scores",
        lambda search, is_last: {"discretised_dev_loss": 1.0, "discretised_dev_macro_f1": next(scores)},
    )
    result = run_few_steps(tmp_path, epochs=4, architecture_learning_rate=3.0, select="best_discretised")
    assert result.epoch == 3
    third, last = result.history[2], result.history[3]
    assert json.loads(result.genotype.to_json()) == third["genotype"]
    np.testing.assert_array_equal(result.probabilities["lfbc/gamma"], third["probabilities"]["lfbc/gamma"])
    assert third["probabilities"]["lfbc/gamma"] != last["probabilities"]["lfbc/gamma"]
    assert result.travel["largest"] >= last["largest_movement"]


def test_the_genotype_of_the_supernets_best_epoch_can_be_taken(eager_steps, tmp_path, monkeypatch):
    scores = iter((0.5, 0.7, 0.6))
    monkeypatch.setattr(bilevel_search, "macro_f1", lambda labels, logits: next(scores))
    result = run_few_steps(tmp_path, epochs=3, select="best_supernet", discretised_every=0)
    assert result.epoch == 2
    assert json.loads(result.genotype.to_json()) == result.history[1]["genotype"]


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="`stop_when_stable` must be at least 2 epochs, or None. Received: 1"):
        SearchSettings(stop_when_stable=1)
    with pytest.raises(ValueError, match="`select` must be one of .*'best_test'"):
        SearchSettings(select="best_test")
    with pytest.raises(ValueError, match="Set `discretised_every` to 1"):
        SearchSettings(select="best_discretised", discretised_every=0)
    with pytest.raises(ValueError, match="a search on partial channels has not.*Set `select: last`"):
        SearchSettings(select="best_discretised", partial_channels=4)
    with pytest.raises(ValueError, match="`partial_channels` must be a divisor of channels=64. Received: 3"):
        SearchSettings(partial_channels=3)


def test_search_on_partial_channels_goes_on_and_ends_in_a_usual_genotype(eager_steps, tmp_path, monkeypatch):
    settings = {"epochs": 2, "partial_channels": 4}
    expected = run_few_steps(tmp_path / "whole", **settings)
    assert expected.travel["largest"] > 0
    for record in expected.history:
        assert np.isfinite([record["train_loss"], record["architecture_loss"], record["dev_loss"]]).all()
        # The searched model is four times as wide as the supernet's operations.
        assert record["discretised_dev_loss"] is None and record["discretised_dev_macro_f1"] is None
    dev = make_rows(20, 1)
    fusion = FUSION.changed(sequence_encoder=False)
    network = fusion_network("hf_mnas", dev.feature_shapes, 3, **fusion.model, genotype=expected.genotype)
    assert np.isfinite(network(dev.features)["logits"]).all()

    save = SavedState.save

    def save_and_stop(self, variables, record):
        save(self, variables, record)
        if record["epoch"] == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(SavedState, "save", save_and_stop)
        run_few_steps(tmp_path / "cut", **settings)
    result = run_few_steps(tmp_path / "cut", **settings)
    assert without_times(result.history) == without_times(expected.history)
    assert result.genotype == expected.genotype
    with pytest.raises(ValueError, match="differs in: settings.partial_channels"):
        run_few_steps(tmp_path / "cut", epochs=2)


@pytest.mark.long
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("searched", SEARCHED_MODELS)
def test_search_in_half_precision(searched, precision, tmp_path):
    result = run_search(tmp_path, settings=dataclasses.replace(SETTINGS, precision=precision), model=searched)
    assert genotype_from_json(result.genotype.to_json(), searched) == result.genotype
    for record in result.history:
        losses = [record[name] for name in ("train_loss", "added_loss", "architecture_loss", "dev_loss")]
        assert np.isfinite(losses).all()
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]
    assert result.travel["largest"] > 0


class Stop(Exception):
    pass


def stop_after_saves(monkeypatch, stops):
    """Searches end in `Stop` at each of these epochs and positions in turn, once their checkpoint is written."""
    save, stops = SavedState.save, list(stops)

    def save_and_stop(self, variables, record):
        save(self, variables, record)
        if stops and (record["epoch"], record["position"]) == stops[0]:
            stops.pop(0)
            raise Stop

    monkeypatch.setattr(SavedState, "save", save_and_stop)


@pytest.mark.parametrize(
    ("settings", "stops"),
    [
        # Three weight steps, then two of the architecture: in the midst of either.
        pytest.param({"alternation": "phased"}, [(0, 2), (1, 4)], id="phased"),
        # Before a step that looks ahead; the next one does so quickly, too.
        pytest.param({"second_order": True}, [(0, 3)], id="second_order", marks=pytest.mark.long),
        # Between two of one stretch, of which the second looks one batch farther.
        pytest.param({"alternation": "phased", "second_order": True}, [(0, 4)], id="phased-second_order"),
        # After the first weight steps were skipped and their scale was halved, and then that of the architecture.
        pytest.param({"precision": "mixed_float16", "travel": 3.0}, [(0, 3), (1, 2)], id="mixed_float16"),
    ],
)
def test_search_of_another_kind_goes_on_in_the_middle_of_an_epoch(eager_steps, tmp_path, monkeypatch, settings, stops):
    # At this scale float16 overflows at first and soon does not.
    monkeypatch.setattr(loss_scale, "_INITIAL_SCALE", 2.0**18)
    settings = {"epochs": 2, **settings}
    expected = run_smallest(tmp_path / "whole", **settings)
    stop_after_saves(monkeypatch, stops)
    for _ in stops:
        with pytest.raises(Stop):
            run_smallest(tmp_path / "cut", checkpoint_seconds=0.0, **settings)
    same_end(run_smallest(tmp_path / "cut", **settings), tmp_path / "cut", expected, tmp_path / "whole")
    assert expected.history[0]["train_loss"] != expected.history[1]["train_loss"] > 0
    assert expected.travel["largest"] > 0


@pytest.mark.parametrize("searched", SEARCHED_MODELS)
def test_streamed_search_goes_on_in_the_middle_of_an_epoch_and_ends_as_one_in_memory(
    eager_steps, searched, tmp_path, monkeypatch
):
    expected = run_few_steps(tmp_path / "resident", searched, epochs=2)
    stop_after_saves(monkeypatch, [(0, 3), (1, 2)])
    streamed = tmp_path / "streamed"
    for _ in range(2):
        with pytest.raises(Stop):
            run_few_steps(streamed, searched, epochs=2, device_bytes=0, checkpoint_seconds=0.0)
    # Where the rows lie may change on the way: the last steps are streamed, the finished search is read in memory.
    result = run_few_steps(streamed, searched, epochs=2, device_bytes=0)
    assert without_times(result.history) == without_times(expected.history)
    for value, expected_value in zip(saved_values(streamed), saved_values(tmp_path / "resident"), strict=True):
        assert value.tobytes() == expected_value.tobytes()
    assert run_few_steps(streamed, searched, epochs=2).history == result.history
