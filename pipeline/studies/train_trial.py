"""The work of one trial: search, final training, one reading of the test split."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, cast

import keras
import numpy as np
import scipy.special

import hfmnas_keras
from hfmnas_keras.cost import model_cost
from hfmnas_keras.cost.latency import model_latency
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.genotype.bm_genotype import BMGenotype
from hfmnas_keras.genotype.discretise import discretise
from hfmnas_keras.genotype.genotype import CELLS, Genotype
from hfmnas_keras.genotype.load_genotype import genotype_from_json
from hfmnas_keras.genotype.random_genotype import random_genotype
from hfmnas_keras.search.architecture_search import search_architecture
from hfmnas_keras.search.diagnosis import search_warnings, verdict
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import SpaceSettings
from hfmnas_keras.training.final_model import train_final_model
from pipeline.studies.scores import scores_of
from pipeline.studies.study_data import StudyData
from pipeline.studies.trial import Trial
from pipeline.studies.trial_store import FAILED, FINISHED, TrialStore

_BATCH = 64
_LATENCY_CALLS = 100
_READ_BY_THE_VERDICT = ("gamma_entropy", "beta_entropy", "dev_macro_f1", "discretised_dev_macro_f1")


def train_trial(trial: Trial, data: StudyData, store: TrialStore) -> dict[str, Any]:
    """Trains a trial, or goes on with it where it was cut off, and writes its files.

    What it prints goes to its log. An error ends the trial, not the study: it is in the record.

    Args:
        trial: `Trial`.
        data: `StudyData` of the trial's digest.
        store: `TrialStore`.

    Returns:
        dict, the record: `status`, `"finished"` or `"failed"` (then `reason`), and of a finished trial the scores
        `dev_macro_f1` and `dev_average_precision` (which chose the epochs), `test_macro_f1`, `test_weighted_f1`,
        `test_accuracy` and `train_macro_f1` (of the final model, on rows that it was trained on), `parameters` and
        `flops` (None where a layer has no rule) of the fusion network, `latency_ms` (its median at batch 1, beside what
        else runs), `epochs`,
        `training_seconds`, of a searched model `genotype`, and where that was not drawn by chance `search_seconds`,
        `travel`, `verdict` and `warnings` (docs/method.md, section 7).
    """
    with store.sole_use(trial.name):
        # Another process may have trained it in the meantime.
        if (record := store.read(trial)) is not None and record["status"] == FINISHED:
            return record
        with _logged_to(store.log_path(trial)):
            try:
                record, predictions = _train(trial, data, store)
            except Exception as error:  # whatever it is, it is this model's, and the study's other models go on
                traceback.print_exc()
                record, predictions = {"status": FAILED, "reason": f"{type(error).__name__}: {error}"}, None
        record["version"] = hfmnas_keras.__version__
        record["threads"] = os.environ.get("TF_NUM_INTRAOP_THREADS", "all")
        store.write(trial, record, predictions)
    return record


def _train(trial: Trial, data: StudyData, store: TrialStore) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    # Names are counted anew, so that a checkpoint fits in whichever process it is read.
    keras.backend.clear_session()
    record: dict[str, Any] = {"status": FINISHED}
    genotype, others = None, []
    if trial.search is not None:
        search = _search(trial, data, store)
        genotype = _genotype(trial, search)
        record.update({key: search[key] for key in ("search_seconds", "travel")})
        if trial.search.strategy == "bilevel":
            # Warnings about this trial's genotype: that of the shared search may keep fewer nodes.
            warnings = search_warnings(genotype, search["probabilities"], search["entropies"], search["travel"])
            record["verdict"] = verdict(warnings)
            record["warnings"] = [warning.message for warning in warnings]
        else:
            record.update({key: search[key] for key in ("verdict", "warnings")})
            others = [genotype_from_json(text, trial.model) for text in search["others"]]
        record["genotype"] = genotype.to_json()
    elif trial.random_genotype is not None:
        genotype = random_genotype(cast(SpaceSettings, trial.space), trial.fusion, trial.random_genotype)
        record["genotype"] = genotype.to_json()
    result = _resumed(
        store.work_folder(trial),
        lambda: train_final_model(
            genotype,
            data.read("train"),
            data.read("dev"),
            num_outputs=data.num_outputs,
            fusion=trial.fusion,
            settings=trial.training,
            checkpoint_dir=store.work_folder(trial),
            vocabulary_size=data.vocabulary_size,
            model=trial.model,
            final_model=trial.final_model,
            mitigation=trial.mitigation,
            others=others,
            fixed_threshold=trial.threshold,
        ),
    )
    train, test = data.read("train"), data.read("test")
    network = result.fusion_network
    predictions = {"ids": test.ids.astype(str), "labels": test.labels, "probabilities": _probabilities(network, test)}
    thresholds = 0.5 if result.thresholds is None else result.thresholds
    predictions["thresholds"] = np.asarray(thresholds)
    on_train = scores_of(train.labels, _probabilities(network, train), thresholds)
    on_test = scores_of(test.labels, predictions["probabilities"], thresholds)
    record.update(
        {
            "dev_macro_f1": result.dev_macro_f1,
            "dev_average_precision": result.dev_average_precision,
            **{f"test_{name}": score for name, score in on_test.items()},
            "train_macro_f1": on_train["macro_f1"],
            "epochs": result.epochs,
            "training_seconds": result.seconds,
            **_cost(network, test),
        }
    )
    return record, predictions


def _search(trial: Trial, data: StudyData, store: TrialStore) -> dict[str, Any]:
    with store.sole_use(f"search-{trial.search_name}"):
        # Those of an earlier state of the package lack what the final model needs.
        if (record := store.read_search(trial)) is not None and "others" in record:
            return record
        folder = store.search_work_folder(trial)
        result = _resumed(
            folder,
            lambda: search_architecture(
                data.read("train"),
                data.read("dev"),
                data.num_outputs,
                trial.fusion,
                cast(SearchSettings, trial.search),
                checkpoint_dir=folder,
                model=trial.model,
                space=trial.searched_space,
                mitigation=trial.mitigation,
            ),
        )
        record = {
            "genotype": result.genotype.to_json(),
            "others": [other.to_json() for other in result.others],
            "probabilities": {name: np.asarray(values).tolist() for name, values in result.probabilities.items()},
            "search_seconds": result.cost["seconds"],
            "travel": result.travel,
            "entropies": [
                {key: epoch[key] for key in _READ_BY_THE_VERDICT if key in epoch} for epoch in result.history
            ],
            "verdict": result.verdict,
            "warnings": [warning.message for warning in result.warnings],
        }
        store.write_search(trial, record)
        return record


def _genotype(trial: Trial, search: dict[str, Any]) -> Genotype | BMGenotype:
    """The genotype that a search found, with as many nodes and edges as the trial keeps."""
    found = genotype_from_json(search["genotype"], trial.model)
    space = trial.space
    if not trial.keeps_after_search or not isinstance(space, SpaceSettings):
        return found
    cells: dict[str, Any] = {}
    for name in CELLS:
        with np.errstate(divide="ignore"):  # a choice that has become impossible
            gamma, beta, importance = (
                np.log(search["probabilities"][f"{name}/{table}"]) for table in ("gamma", "beta", "importance")
            )
        cells[name] = discretise(
            gamma,
            beta,
            importance,
            space.kept_nodes,
            space.kept_edges,
            found.edge_operations,
            found.node_operations,
        )
    return dataclasses.replace(found, **cells)


def _resumed(folder: pathlib.Path, work: Callable[[], Any]) -> Any:
    """Does the work from the checkpoint in the folder, or anew where code that has changed since wrote it."""
    had_checkpoint = folder.exists()
    try:
        return work()
    except ValueError:
        if not had_checkpoint:
            raise
        traceback.print_exc()
        shutil.rmtree(folder)
        return work()


def _probabilities(network: keras.Model, rows: FeatureSet) -> np.ndarray:
    inputs = {name: array for name, array in rows.inputs().items() if name in {x.name for x in network.inputs}}
    logits = network.predict(inputs, batch_size=_BATCH, verbose=0).astype("float64")
    if not np.isfinite(logits).all():
        raise RuntimeError(f"The trained model has {int((~np.isfinite(logits)).sum())} logits that are not finite.")
    if rows.multi_label:
        return scipy.special.expit(logits)
    return scipy.special.softmax(logits, axis=1)


def _cost(network: keras.Model, rows: FeatureSet) -> dict[str, Any]:
    try:
        flops = model_cost(network).flops
    except ValueError as error:
        print(f"FLOPs are not counted: {error}")
        flops = None
    one_row = {tensor.name: rows.inputs()[tensor.name][:1] for tensor in network.inputs}
    return {
        "parameters": int(network.count_params()),
        "flops": flops,
        "latency_ms": model_latency(network, one_row, _LATENCY_CALLS).p50_ms,
    }


@contextlib.contextmanager
def _logged_to(path: os.PathLike) -> Iterator[None]:
    with (
        open(path, "a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        print(time.strftime("%Y-%m-%d %H:%M:%S"), flush=True)
        yield
