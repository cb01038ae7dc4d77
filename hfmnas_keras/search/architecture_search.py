"""Searches a fusion architecture on cached features."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from hfmnas_keras.data.array_digest import array_digest
from hfmnas_keras.data.batch_order import BatchOrder
from hfmnas_keras.data.device_rows import DeviceRows
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.data.streamed_rows import feature_rows
from hfmnas_keras.genotype.base_genotype import choices_in
from hfmnas_keras.genotype.load_genotype import genotype_from_json
from hfmnas_keras.models.parts.base_supernet import BaseSupernet
from hfmnas_keras.models.supernet_of import supernet_of
from hfmnas_keras.optimization.class_weights import class_weights
from hfmnas_keras.optimization.f1_score import macro_f1
from hfmnas_keras.optimization.loss_scale import resolved_precision
from hfmnas_keras.optimization.losses import task_loss
from hfmnas_keras.optimization.peak_memory import peak_memory_bytes
from hfmnas_keras.optimization.saved_state import SavedState
from hfmnas_keras.optimization.schedules import steps_of_epoch
from hfmnas_keras.search.bilevel_step import BilevelStep
from hfmnas_keras.search.diagnosis import LEAST_TRAVEL, decisiveness, search_warnings
from hfmnas_keras.search.graph_rewriting import without_graph_rewriting
from hfmnas_keras.search.search_report import SearchReport
from hfmnas_keras.search.search_result import SearchResult
from hfmnas_keras.search.strategies.search_by_training import search_by_training
from hfmnas_keras.settings.execution import without_execution
from hfmnas_keras.settings.fusion import FusionSettings, MitigationSettings
from hfmnas_keras.settings.models import SEARCHED_MODELS
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import BMSpaceSettings, SpaceSettings

_PROGRESS_SECONDS = 1.0


def search_architecture(
    train: FeatureSet,
    dev: FeatureSet,
    num_outputs: int,
    fusion: FusionSettings,
    settings: SearchSettings,
    checkpoint_dir: str | os.PathLike,
    report_dir: str | os.PathLike | None = None,
    unimodal_heads: Mapping[str, Mapping[str, Any]] | None = None,
    model: str = "hf_mnas",
    space: SpaceSettings | BMSpaceSettings | None = None,
    mitigation: MitigationSettings | None = None,
) -> SearchResult:
    """Searches the architecture of a fusion network (HF-MNAS, Eq. 29-30, Algorithm 1; docs/method.md, section 7).

    By the bilevel search, of which the following tells, or by another `settings.strategy`, see `search_by_training`.

    The state of the search is written to `checkpoint_dir/search.npz` after each epoch and every
    `settings.checkpoint_seconds`, the one before kept beside it. Called again with the same arguments, the search goes
    on from there and ends in the same genotype as an uninterrupted one; a finished search returns its result at once.

    Args:
        train: `FeatureSet` whose rows train the weights.
        dev: `FeatureSet` whose rows train gamma and beta, and give the macro F1 of the history.
        num_outputs: int. Classes.
        fusion: `FusionSettings`.
        settings: `SearchSettings`; its `channels` are the width of the supernet.
        checkpoint_dir: folder of the checkpoint, made when missing.
        report_dir: optional folder for `search.json`, `genotype.json`, drawings and TensorBoard logs.
        unimodal_heads: optional records of `pretrain_backbones` by modality, to be shown in the report.
        model: str. The search space, one of `settings.models.SEARCHED_MODELS`. Defaults to `"hf_mnas"`.
        space: `SpaceSettings`, or `BMSpaceSettings` for `"bm_nas"`. Defaults to the paper's.
        mitigation: `MitigationSettings`. Defaults to the paper's.

    Returns:
        `SearchResult`. Each epoch of its history has: `epoch` (from 1), `train_loss` and `architecture_loss` (means of
        the task loss over the weight and the architecture steps), `added_loss` (lambda times DCCA), `dev_loss` and
        `dev_macro_f1` (supernet, inference mode), `discretised_dev_loss` and `discretised_dev_macro_f1` (the searched
        model of this epoch's genotype with the supernet's weights; None where not computed), `learning_rate` (of the
        last weight step), `gamma_entropy` and `beta_entropy` (mean over choices, 1 is uniform), `gamma_gap` and
        `beta_gap` (mean gap between the best and the second probability), `skip_share` and `none_share` (mean
        probability), `largest_movement` of a logit so far, `genotype`, `probabilities` (as of the result, to six
        digits) and `seconds`.

    Raises:
        ValueError: when features, labels and settings do not fit, or the checkpoint is of another run.
        RuntimeError: when the loss becomes NaN or infinite, or no checkpoint can be read where there are some.
    """
    names = tuple(dict.fromkeys((*fusion.lfbc_taps, *fusion.hfbc_taps)))
    _check_rows(train, dev, num_outputs, names)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings.seed)
    settings = dataclasses.replace(settings, precision=resolved_precision(settings.precision))
    space, mitigation = space or SEARCHED_MODELS[model].supernet.SPACE_CLASS(), mitigation or MitigationSettings()
    fingerprint: dict[str, Any] = {
        "model": model,
        "settings": without_execution(settings),
        "fusion": dataclasses.asdict(fusion),
        "mitigation": dataclasses.asdict(mitigation),
        "space": dataclasses.asdict(space),
        "num_outputs": num_outputs,
        "train": _data_fingerprint(train, names),
        "dev": _data_fingerprint(dev, names),
    }
    report = SearchReport(report_dir, unimodal_heads) if report_dir is not None else None
    if settings.strategy != "bilevel":
        hf_mnas_space = _check_strategy(settings, model, space)
        bilevel = dataclasses.replace(settings, strategy="bilevel", minutes=None)
        result = search_by_training(
            train,
            dev,
            num_outputs,
            settings,
            checkpoint_dir,
            fingerprint,
            lambda: search_architecture(
                train,
                dev,
                num_outputs,
                fusion,
                bilevel,
                pathlib.Path(checkpoint_dir) / "bilevel",
                space=space,
                mitigation=mitigation,
            ),
            fusion=fusion,
            mitigation=mitigation,
            space=hf_mnas_space,
        )
        if report is not None:
            report.write(result, settings)
        return result
    feature_shapes = {name: train.feature_shapes[name] for name in names}
    supernet = supernet_of(
        model,
        feature_shapes,
        num_outputs,
        fusion=fusion,
        mitigation=mitigation,
        space=space,
        channels=settings.channels,
        partial_channels=settings.partial_channels,
        dtype=settings.precision,
        name="supernet",
    )
    train_rows, dev_rows = (feature_rows(split, names, settings.device_bytes) for split in (train, dev))
    search = _Search(
        supernet,
        train_rows,
        dev_rows,
        settings,
        SavedState(pathlib.Path(checkpoint_dir) / "search.npz", fingerprint),
        report,
    )
    with without_graph_rewriting():
        return search.run()


def _check_strategy(settings: SearchSettings, model: str, space: SpaceSettings | BMSpaceSettings) -> SpaceSettings:
    """The space, which candidates can be trained of."""
    if not isinstance(space, SpaceSettings):
        raise ValueError(
            f"Candidates of `model: hf_mnas` alone can be trained. Received: strategy={settings.strategy!r}, "
            f"model={model!r}. Set `strategy: bilevel`."
        )
    if settings.precision != "float32":
        raise ValueError(
            "Candidates are trained in float32. Received: "
            f"strategy={settings.strategy!r}, precision={settings.precision!r}. Set `precision: float32`."
        )
    return space


class _Search:
    """The loop over epochs and steps, with its checkpoints."""

    def __init__(
        self,
        supernet: BaseSupernet,
        train: DeviceRows,
        dev: DeviceRows,
        settings: SearchSettings,
        saved_state: SavedState,
        report: SearchReport | None,
    ):
        self.supernet = supernet
        self.settings = settings
        self.saved_state = saved_state
        self.report = report
        self.steps = steps_of_epoch(settings.alternation, train.num_rows, dev.num_rows, settings.batch_size)
        self.weight_steps = self.steps.count("weights")
        self.architecture_steps = self.steps.count("architecture")
        total = self.architecture_steps * settings.epochs
        rate = settings.architecture_learning_rate
        self.architecture_learning_rate = settings.travel / total if rate is None else rate
        self.possible_travel = self.architecture_learning_rate * total
        # Of train, whose classes dev shares.
        weights = class_weights(train.labels_array, supernet.num_outputs, settings.class_weights)
        self.step = BilevelStep(
            supernet, train, dev, settings, self.weight_steps, self.architecture_learning_rate, weights
        )
        self._predict_discretised = tf.function(self._discretised_logits_of, reduce_retracing=True, autograph=False)
        self.train_order = BatchOrder(train.num_rows, settings.batch_size, settings.seed, stream=0)
        self.dev_order = BatchOrder(dev.num_rows, settings.batch_size, settings.seed, stream=1)
        self.first_logits = self._architecture_logits()
        self.epoch = 0
        self.position = 0
        self.history: list[dict[str, Any]] = []
        self.seconds = 0.0
        self.peak_memory = 0

    def run(self) -> SearchResult:
        logging.info(
            "Search: %d epochs of %d weight and %d architecture steps (%s), batch %d. Adam can move a logit by %.3g "
            "in all (rate %.3g).",
            self.settings.epochs,
            self.weight_steps,
            self.architecture_steps,
            self.settings.alternation,
            self.settings.batch_size,
            self.possible_travel,
            self.architecture_learning_rate,
        )
        if self.possible_travel < LEAST_TRAVEL:
            logging.warning(
                "The architecture logits can travel only %.3g (rate %.3g times %d steps): with less than about 1 the "
                "search cannot decide and the genotype is mostly noise. Raise `architecture_learning_rate` (or leave "
                "it None), or search for more epochs.",
                self.possible_travel,
                self.architecture_learning_rate,
                self.architecture_steps * self.settings.epochs,
            )
        if self.saved_state.exists():
            self._restore()
        if self.report is not None:
            self.report.begin(self.history)
        weight_batch, architecture_batch = self._next_batches()
        self.step.train.follow(self.train_order, weight_batch)
        self.step.dev.follow(self.dev_order, architecture_batch)
        self._resumed_at = self._saved_at = time.monotonic()
        self._seconds_before = self.seconds
        while not self._is_finished(self.history):
            self._run_epoch()
        result = self._result()
        if self.report is not None:
            self.report.write(result, self.settings)
        return result

    def _is_finished(self, history: list[dict[str, Any]]) -> bool:
        # Read from the history, which is in the checkpoint: a search that goes on stops where it would have stopped.
        stable = self.settings.stop_when_stable
        return len(history) >= self.settings.epochs or (stable is not None and _stable_epochs(history) >= stable)

    def _run_epoch(self) -> None:
        print(f"Search, epoch {self.epoch + 1}/{self.settings.epochs}")
        progress = keras.utils.Progbar(
            len(self.steps), stateful_metrics=["train_loss", "dev_f1", "learning_rate"], interval=_PROGRESS_SECONDS
        )
        weight_batch, architecture_batch = self._next_batches()
        shown_at = 0.0
        while self.position < len(self.steps):
            if self.steps[self.position] == "architecture":
                rows = [self.dev_order.batch(architecture_batch)]
                if self.settings.second_order:
                    # The look-ahead is that of the next weight step; the n-th of a stretch of architecture steps
                    # (`phased`) takes the n-th batch from there.
                    rows.append(self.train_order.batch(weight_batch + self._steps_since_weights()))
                self.step.architecture_step(*rows)
                architecture_batch += 1
            else:
                self.step.weight_step(self.train_order.batch(weight_batch))
                weight_batch += 1
            self.position += 1
            now = time.monotonic()
            if now - shown_at > _PROGRESS_SECONDS and self.position < len(self.steps):
                means = self.step.mean_losses()
                rate = self._learning_rate()
                progress.update(self.position, [("train_loss", means["train_loss"]), ("learning_rate", rate)])
                shown_at = now
            if now - self._saved_at > self.settings.checkpoint_seconds:
                self._save()
        record = self._epoch_record()
        progress.update(
            len(self.steps),
            [
                ("train_loss", record["train_loss"]),
                ("dev_f1", record["dev_macro_f1"]),
                ("learning_rate", record["learning_rate"]),
            ],
            finalize=True,
        )
        self.history.append(record)
        self.epoch += 1
        self.position = 0
        self.step.start_epoch()
        self._save()
        if self.report is not None:
            self.report.write_epoch(record)

    def _next_batches(self) -> tuple[int, int]:
        """Numbers of the next batch in the endless streams of train and of dev."""
        before = self.steps[: self.position]
        return (
            self.epoch * self.weight_steps + before.count("weights"),
            self.epoch * self.architecture_steps + before.count("architecture"),
        )

    def _steps_since_weights(self) -> int:
        """Architecture steps of this epoch since its last weight step."""
        before = self.steps[: self.position]
        return next((count for count, kind in enumerate(reversed(before)) if kind == "weights"), len(before))

    def _discretised_logits_of(self, fetched: Any, choices: Any) -> tf.Tensor:
        inputs, _ = self.step.dev.batch(fetched)
        return self.supernet.discretised_logits(inputs, choices)

    def _discretised_scores(self, is_last: bool) -> dict[str, float | None]:
        # No searched model has the weights of a supernet of partial channels.
        every = self.settings.discretised_every if self.settings.partial_channels == 1 else 0
        if not every or ((self.epoch + 1) % every and not is_last):
            return {"discretised_dev_loss": None, "discretised_dev_macro_f1": None}
        choices = self.supernet.choices_of(self.supernet.genotype())
        choices = keras.tree.map_structure(tf.constant, choices)
        logits = self.step.dev.outputs(lambda fetched: self._predict_discretised(fetched, choices))
        return {
            "discretised_dev_loss": float(task_loss(self.step.dev.labels, tf.constant(logits))),
            "discretised_dev_macro_f1": macro_f1(self.step.dev.labels_array, logits),
        }

    def _epoch_record(self) -> dict[str, Any]:
        logits = self.step.dev_logits()
        labels = self.step.dev.labels_array
        genotype = json.loads(self.supernet.genotype().to_json())
        discretised_scores = self._discretised_scores(self._is_finished([*self.history, {"genotype": genotype}]))
        probabilities = self.supernet.probabilities()
        self._count_time()
        return {
            "epoch": self.epoch + 1,
            **self.step.mean_losses(),
            "dev_loss": float(task_loss(self.step.dev.labels, tf.constant(logits))),
            "dev_macro_f1": macro_f1(labels, logits),
            **discretised_scores,
            "learning_rate": self._learning_rate(),
            **decisiveness(probabilities, self.supernet.genotype().probability_tables()),
            "largest_movement": self._largest_movement(),
            "genotype": genotype,
            "probabilities": {
                name: values.astype("float64").round(6).tolist() for name, values in probabilities.items()
            },
            "seconds": round(self.seconds, 3),
        }

    def _learning_rate(self) -> float:
        iterations = self.step.weight_optimizer.iterations
        return float(keras.ops.convert_to_numpy(self.step.schedule(keras.ops.maximum(iterations - 1, 0))))

    def _architecture_logits(self) -> list[np.ndarray]:
        return [np.array(keras.ops.convert_to_numpy(v)) for v in self.step.architecture_variables]

    def _largest_movement(self) -> float:
        pairs = zip(self._architecture_logits(), self.first_logits, strict=True)
        return max(float(np.abs(now - first).max()) for now, first in pairs)

    def _count_time(self) -> None:
        self.seconds = self._seconds_before + time.monotonic() - self._resumed_at

    def _save(self) -> None:
        self._count_time()
        # Of all processes that have searched.
        self.peak_memory = max(self.peak_memory, peak_memory_bytes())
        names = ("epoch", "position", "history", "seconds", "peak_memory")
        self.saved_state.save(self.step.variables, {name: getattr(self, name) for name in names})
        self._saved_at = time.monotonic()

    def _restore(self) -> None:
        # The initial logits need no saving: they follow from the seed, which is in the fingerprint.
        record = self.saved_state.restore(self.step.variables)
        self.epoch, self.position = record["epoch"], record["position"]
        self.history, self.seconds = record["history"], record["seconds"]
        # Older checkpoints have none.
        self.peak_memory = record.get("peak_memory", peak_memory_bytes())
        logging.info(
            "Search goes on from %s: epoch %d, step %d of %d.",
            self.saved_state.path,
            self.epoch + 1,
            self.position,
            len(self.steps),
        )

    def _selected_epoch(self) -> int:
        if self.settings.select == "last":
            return len(self.history)
        key = "dev_macro_f1" if self.settings.select == "best_supernet" else "discretised_dev_macro_f1"
        scores = [record[key] for record in self.history]
        # The later one among equals: its logits have seen more.
        return max((score, epoch) for epoch, score in enumerate(scores, start=1) if score is not None)[1]

    def _result(self) -> SearchResult:
        epoch = self._selected_epoch()
        if epoch == len(self.history):
            genotype, probabilities = self.supernet.genotype(), self.supernet.probabilities()
        else:
            record = self.history[epoch - 1]
            genotype = genotype_from_json(json.dumps(record["genotype"]))
            probabilities = {name: np.asarray(values) for name, values in record["probabilities"].items()}
        travel = {
            "possible": self.architecture_learning_rate * self.architecture_steps * len(self.history),
            "largest": self._largest_movement(),
            "architecture_learning_rate": self.architecture_learning_rate,
        }
        warnings = search_warnings(genotype, probabilities, self.history, travel)
        for warning in warnings:
            logging.warning("Search %s (%s): %s", warning.verdict, warning.rule, warning.message)
        return SearchResult(
            genotype=genotype,
            epoch=epoch,
            probabilities=probabilities,
            history=self.history,
            cost={
                "seconds": round(self.seconds, 3),
                "weight_steps": self.weight_steps * len(self.history),
                "architecture_steps": self.architecture_steps * len(self.history),
                "peak_memory_bytes": self.peak_memory,
            },
            travel=travel,
            warnings=warnings,
        )


def _stable_epochs(history: list[dict[str, Any]]) -> int:
    """How many epochs in a row, the last among them, ended in the last one's choices."""
    choices = [choices_in(record["genotype"]) for record in history]
    return sum(1 for _ in itertools.takewhile(lambda earlier: earlier == choices[-1], reversed(choices)))


def _check_rows(train: FeatureSet, dev: FeatureSet, num_outputs: int, names: tuple[str, ...]) -> None:
    for split, rows in (("train", train), ("dev", dev)):
        if rows.num_rows == 0:
            raise ValueError(f"The {split} split has no rows.")
        missing = [name for name in names if name not in rows.features]
        if missing:
            raise ValueError(
                f"The cells read the features {list(names)}, but {split} has {sorted(rows.features)}. "
                "Extract the missing ones or change `lfbc_taps` and `hfbc_taps`."
            )
        classes = rows.labels.shape[1] if rows.multi_label else int(rows.labels.max()) + 1
        if classes > num_outputs or (rows.multi_label and classes != num_outputs):
            raise ValueError(f"Labels of {split} need {classes} outputs. Received: num_outputs={num_outputs}.")
    shapes = [{name: rows.feature_shapes[name] for name in names} for rows in (train, dev)]
    if shapes[0] != shapes[1] or train.multi_label != dev.multi_label:
        raise ValueError(
            "Features and labels of train and dev must have the same shapes. "
            f"Received: {shapes[0]}, multi_label={train.multi_label}; {shapes[1]}, multi_label={dev.multi_label}."
        )


def _data_fingerprint(rows: FeatureSet, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "rows": rows.num_rows,
        "shapes": {name: list(rows.feature_shapes[name]) for name in names},
        "sha256": array_digest(rows.labels, *(rows.features[name] for name in names)),
    }
