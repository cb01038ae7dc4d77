"""Tuning on small features: what is tried, what is chosen, what a kill leaves."""

from __future__ import annotations

import itertools
import json
import types

import numpy as np
import pytest
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.settings_json import settings_to_json
from components.tuner import tuning
from hfmnas_keras.data.feature_files import write_feature_set
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.final_training import train_fusion_network
from tests.hfmnas_keras.network_settings import NetworkSettings
from tests.hfmnas_keras.search.search_case import make_rows
from tests.hfmnas_keras.training import tuned_case

FUSION = NetworkSettings(channels=8, grid=(2, 2), num_nodes=1, kept_nodes=1, num_heads=2, sequence_encoder=False)
TRAINING = TrainingSettings(max_epochs=2, batch_size=8, learning_rate=0.01)
# With the second rate nothing is learnt.
CHOICES = {"training.learning_rate": [0.01, 1e-6], "fusion.dropout": [0.1, 0.5]}


@pytest.fixture
def fn_args(tmp_path):
    for split, rows in (("train", make_rows(48, 0)), ("dev", make_rows(24, 1))):
        write_feature_set(rows, tmp_path / split)
    return FnArgs(
        working_dir=str(tmp_path),
        custom_config={
            "model": "gmu",
            "num_outputs": 3,
            **{part: settings_to_json(settings) for part, settings in FUSION.model.items()},
            "training": settings_to_json(TRAINING),
            "choices": CHOICES,
            "trials": 3,
            "seed": 0,
            "has_text": False,
            "genotype_uri": None,
            "train_features_uri": str(tmp_path / "train"),
            "dev_features_uri": str(tmp_path / "dev"),
            "checkpoint_dir": str(tmp_path / "checkpoints"),
        },
    )


def search(fn_args):
    result = tuning.tuner_fn(fn_args)
    result.tuner.search(**result.fit_kwargs)
    return result.tuner


def tried(tuner):
    return [trial.hyperparameters.values for trial in sorted(tuner.oracle.trials.values(), key=lambda t: t.trial_id)]


def test_the_own_values_come_first_and_the_best_on_dev_is_chosen(fn_args, tmp_path):
    tuner = search(fn_args)
    values = tried(tuner)
    assert values[0] == {"training.learning_rate": 0.01, "fusion.dropout": 0.1}
    assert len({json.dumps(each, sort_keys=True) for each in values}) == len(values) == 3
    assert all(each[name] in CHOICES[name] for each in values for name in CHOICES)
    (best,) = tuner.get_best_hyperparameters()
    assert best.values["training.learning_rate"] == 0.01
    scores = {trial.trial_id: trial.score for trial in tuner.oracle.trials.values()}
    (first,) = (trial for trial in tuner.oracle.trials.values() if trial.hyperparameters.values == values[0])
    # A training of its own with the same settings scores the same, its second fit aside.
    alone = train_fusion_network(
        None,
        make_rows(48, 0),
        make_rows(24, 1),
        num_outputs=3,
        settings=TrainingSettings(max_epochs=2, batch_size=8, learning_rate=0.01, unfreeze_backbones=False),
        checkpoint_dir=tmp_path / "alone",
        model="gmu",
        **FUSION.model,
    )
    assert scores[first.trial_id] == pytest.approx(alone.dev_average_precision, abs=1e-12)
    assert max(scores.values()) >= scores[first.trial_id]


@pytest.fixture
def scored_by_rate(fn_args, monkeypatch):
    """Trials that train nothing: their score is the learning rate, and above 1 there is none. Gives their function."""

    def train(*args, settings, **kwargs):
        if settings.learning_rate > 1:
            raise RuntimeError("The loss is NaN.")
        return types.SimpleNamespace(dev_average_precision=settings.learning_rate)

    monkeypatch.setattr(tuning, "train_fusion_network", train)

    def run(choices, trials, seed, directory):
        fn_args.custom_config.update(choices=choices, trials=trials, seed=seed, checkpoint_dir=directory)
        return search(fn_args)

    return run


def test_the_seed_decides_what_is_tried(scored_by_rate, tmp_path):
    choices = {"training.learning_rate": [n / 10 for n in range(1, 11)], "training.batch_size": list(range(1, 11))}
    runs = [tried(scored_by_rate(choices, 4, seed, str(tmp_path / str(n)))) for n, seed in enumerate((0, 0, 1))]
    assert runs[0] == runs[1] != runs[2]


def test_all_combinations_are_tried_where_there_are_so_many_trials(scored_by_rate, tmp_path):
    choices = {"training.learning_rate": [0.01, 0.1, 0.2], "training.batch_size": [8, 1, 2, 3]}
    for seed in range(3):
        values = tried(scored_by_rate(choices, 30, seed, str(tmp_path / str(seed))))
        assert {tuple(each.values()) for each in values} == set(itertools.product(*choices.values()))
        assert len(values) == 12


def test_trials_without_a_score_do_not_end_the_others(scored_by_rate, tmp_path, caplog):
    choices = {"training.learning_rate": [0.01, 2.0, 3.0, 4.0, 5.0, 6.0, 0.02]}
    tuner = scored_by_rate(choices, 7, 0, str(tmp_path / "some"))
    (best,) = tuner.get_best_hyperparameters()
    assert best.values == {"training.learning_rate": 0.02} and len(tuner.oracle.trials) == 7
    told = [record.getMessage() for record in caplog.records if "no score" in record.getMessage()]
    assert len(told) == 5 and all("The loss is NaN." in line for line in told)
    assert {rate for rate in (2.0, 3.0, 4.0, 5.0, 6.0) if f"{rate}" in " ".join(told)} == {2.0, 3.0, 4.0, 5.0, 6.0}


def test_a_killed_tuner_trains_no_trial_twice(fn_args, monkeypatch):
    trained = []

    def dies_in_the_second(*args, **kwargs):
        trained.append(kwargs["checkpoint_dir"])
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train_fusion_network(*args, **kwargs)

    monkeypatch.setattr(tuning, "train_fusion_network", dies_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        search(fn_args)
    tuner = search(fn_args)
    # The second began again in its own folder, where its checkpoint is.
    assert trained[2] == trained[1] and len(trained) == 4
    assert all(np.isfinite(trial.score) for trial in tuner.oracle.trials.values())
    assert len(tuner.oracle.trials) == 3


def test_without_a_score_there_is_no_result(fn_args, monkeypatch):
    def diverges(*args, **kwargs):
        raise RuntimeError("The loss is NaN.")

    monkeypatch.setattr(tuning, "train_fusion_network", diverges)
    fn_args.custom_config["trials"] = 2
    with pytest.raises(RuntimeError, match=r"(?s)No trial .* came to a score.*The loss is NaN"):
        search(fn_args)


@pytest.fixture
def tune_genotype(fn_args, tmp_path, monkeypatch):
    """The function gives what the trials of a genotype trained, with one setting as it is and then changed."""

    def tune(name, own, changed):
        results = []

        def train(*args, **kwargs):
            results.append(train_fusion_network(*args, **kwargs))
            return results[-1]

        monkeypatch.setattr(tuning, "train_fusion_network", train)
        (tmp_path / "genotype").mkdir()
        tuned_case.GENOTYPE.save(tmp_path / "genotype" / "genotype.json")
        fn_args.custom_config.update(
            model="hf_mnas",
            genotype_uri=str(tmp_path / "genotype"),
            **{part: settings_to_json(settings) for part, settings in tuned_case.FUSION.model.items()},
            training=settings_to_json(tuned_case.TRAINING),
            choices={name: [own, changed]},
            trials=2,
        )
        assert tried(search(fn_args)) == [{name: own}, {name: changed}]
        return results

    # To trace the graph of each step would take longer than the step.
    tf.config.run_functions_eagerly(True)
    yield tune
    tf.config.run_functions_eagerly(False)


@pytest.mark.parametrize("name", tuned_case.CHANGED)
def test_a_trial_trains_the_network_that_its_value_describes(tune_genotype, name):
    value, expected = tuned_case.CHANGED[name]
    results = tune_genotype(name, tuned_case.own_value(name), value)
    assert [tuned_case.parts_of(result.fusion_network) for result in results] == [tuned_case.OWN, expected]


def test_a_trial_weighs_the_correlation_loss_as_its_value_says(tune_genotype):
    own, changed = (result.history["fit"][0] for result in tune_genotype("mitigation.correlation_weight", 0.1, 0.4))
    # From the same initial weights.
    assert own["loss"] == changed["loss"] and own["added_loss"] > 1e-3
    assert changed["added_loss"] == pytest.approx(4 * own["added_loss"], rel=1e-5)
    assert own["dev_loss"] != changed["dev_loss"]
