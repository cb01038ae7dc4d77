"""Trains the final model with different settings and keeps what is best on dev: the user code of Tuner."""

from __future__ import annotations

import dataclasses
import math
import os
import random
from typing import Any

import keras_tuner
import numpy as np
import tensorflow_transform as tft
from absl import logging
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from components.execution import with_execution
from components.local_folders import readable_folder
from components.settings_json import settings_from_json
from components.transform.text import vocabulary_size
from hfmnas_keras.data.feature_files import read_feature_set
from hfmnas_keras.genotype.load_genotype import load_genotype
from hfmnas_keras.training.final_training import train_fusion_network
from hfmnas_keras.training.tuned_settings import MODEL_SETTINGS, fitting, with_values

OBJECTIVE = "dev_average_precision"


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Returns the tuner.

    Args:
        fn_args: what TFX's Tuner passes; `custom_config` has the entries that `components.tuner.component` and
            `components.tuner.executor` put there.

    Returns:
        `TunerFnResult`.
    """
    config = fn_args.custom_config
    genotype = None
    if config["genotype_uri"] is not None:
        with readable_folder(config["genotype_uri"]) as folder:
            genotype = load_genotype(os.path.join(folder, "genotype.json"), config["model"])
    space = keras_tuner.HyperParameters()
    for name, choices in config["choices"].items():
        # The first of them is the configuration's own value.
        space.Choice(name, choices, default=choices[0])
    oracle = _Oracle(
        objective=keras_tuner.Objective(OBJECTIVE, "max"),
        max_trials=config["trials"],
        hyperparameters=space,
        tune_new_entries=False,
        # Those that come to no score are told at the end, and may follow one another.
        max_consecutive_failed_trials=config["trials"] + 1,
        draw_seed=config["seed"],
    )
    settings: dict[str, Any] = {part: settings_from_json(kind, config[part]) for part, kind in MODEL_SETTINGS.items()}
    training = with_execution("training", settings["training"])
    tuner = _Tuner(oracle, config["checkpoint_dir"])
    return TunerFnResult(
        tuner=tuner,
        fit_kwargs={
            "genotype": genotype,
            "train": read_feature_set(config["train_features_uri"]),
            "dev": read_feature_set(config["dev_features_uri"]),
            "num_outputs": config["num_outputs"],
            # On the cached features; Trainer trains backbones too where the settings say so.
            "settings": {**settings, "training": dataclasses.replace(training, unfreeze_backbones=False)},
            "vocabulary_size": (
                vocabulary_size(tft.TFTransformOutput(fn_args.transform_graph_path)) if config["has_text"] else None
            ),
            "model": config["model"],
        },
    )


class _Oracle(keras_tuner.Oracle):
    """Random search that begins with the first choices, which so are never replaced by something worse on dev.

    KerasTuner's own takes the seed 0 for none, and may end before all combinations of a few are tried.
    """

    def __init__(self, draw_seed: int, **arguments: Any):
        super().__init__(**arguments)
        self._draw_seed = draw_seed

    def populate_space(self, trial_id):
        parameters = self.get_space().space
        sizes = [len(parameter.values) for parameter in parameters]
        # All combinations have a number, that of the first choices is 0.
        others = range(1, math.prod(sizes))
        drawn = [0, *random.Random(self._draw_seed).sample(others, min(len(others), self.max_trials - 1))]
        if len(self.trials) >= len(drawn):
            return {"status": keras_tuner.engine.trial.TrialStatus.STOPPED, "values": None}
        places = np.unravel_index(drawn[len(self.trials)], sizes)
        values = {parameter.name: parameter.values[place] for parameter, place in zip(parameters, places, strict=True)}
        return {"status": keras_tuner.engine.trial.TrialStatus.RUNNING, "values": values}


class _Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """Trains a fusion network a trial; its trials, and the epochs of a trial, go on where they were cut off."""

    def __init__(self, oracle: _Oracle, directory: str):
        super().__init__(oracle, directory=directory, project_name="trials", overwrite=False)

    def run_trial(self, trial: Any, genotype: Any, settings: dict[str, Any], **arguments: Any) -> Any:
        values = trial.hyperparameters.values
        model_settings = with_values(settings, values)
        shown = ", ".join(f"{name} {value}" for name, value in values.items())
        logging.info("Tuning, trial %d of %d: %s", len(self.oracle.trials), self.oracle.max_trials, shown)
        result = train_fusion_network(
            fitting(genotype, values),
            settings=model_settings.pop("training"),
            checkpoint_dir=os.path.join(self.get_trial_dir(trial.trial_id), "training"),
            retrain=False,
            **model_settings,
            **arguments,
        )
        return {OBJECTIVE: result.dev_average_precision}

    def search(self, **arguments: Any) -> None:
        super().search(**arguments)
        # KerasTuner counts a trial that raised as done and says nothing, and TFX would write its values as the best.
        failed = [trial for trial in self.oracle.trials.values() if trial.score is None]
        for trial in failed:
            reason = (trial.message or "").strip().rpartition("\n")[2]
            logging.warning("Tuning: no score with %s: %s", trial.hyperparameters.values, reason)
        if len(failed) == len(self.oracle.trials):
            messages = {trial.message for trial in failed if trial.message}
            raise RuntimeError(f"No trial of the tuner came to a score. {' '.join(sorted(messages))}".strip())

    def load_model(self, trial: Any) -> None:
        """Raises, as the models of trials are not kept: Trainer trains the best one."""
        raise NotImplementedError("The tuner keeps no models. Train with its best hyperparameters.")
