"""The loop of the bilevel search."""

from __future__ import annotations

import json
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from hfmnas_keras.data.batch_order import BatchOrder
from hfmnas_keras.data.device_rows import DeviceRows
from hfmnas_keras.genotype.load_genotype import genotype_from_json
from hfmnas_keras.models.parts.base_supernet import BaseSupernet
from hfmnas_keras.optimization.class_weights import class_weights
from hfmnas_keras.optimization.f1_score import macro_f1
from hfmnas_keras.optimization.losses import task_loss
from hfmnas_keras.optimization.peak_memory import peak_memory_bytes
from hfmnas_keras.optimization.saved_state import SavedState
from hfmnas_keras.optimization.schedules import steps_of_epoch
from hfmnas_keras.search.bilevel_step import BilevelStep
from hfmnas_keras.search.diagnosis import LEAST_TRAVEL, decisiveness, search_warnings
from hfmnas_keras.search.history import selected_epoch, stable_epochs
from hfmnas_keras.search.search_report import SearchReport
from hfmnas_keras.search.search_result import SearchResult
from hfmnas_keras.settings.search import SearchSettings

_PROGRESS_SECONDS = 1.0


class BilevelSearch:
    """The loop over epochs and steps, with its checkpoints (HF-MNAS, Algorithm 1; docs/method.md, section 7).

    Args:
        supernet: `BaseSupernet`.
        train, dev: `DeviceRows`.
        settings: `SearchSettings`.
        saved_state: `SavedState` to go on from and to write to.
        report: optional `SearchReport`.
    """

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
        # The classes of train weigh the rows of dev, too.
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
        return len(history) >= self.settings.epochs or (stable is not None and stable_epochs(history) >= stable)

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
        # The largest of all processes that have searched.
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

    def _result(self) -> SearchResult:
        epoch = selected_epoch(self.history, self.settings.select)
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
