"""The two fits of a final training, with their checkpoint (docs/method.md, section 7)."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import keras
import numpy as np
from absl import logging

from hfmnas_keras.data.batch_order import BatchOrder
from hfmnas_keras.data.device_rows import DeviceRows
from hfmnas_keras.data.encoded_rows import EncodedRows
from hfmnas_keras.optimization.class_weights import class_weights
from hfmnas_keras.optimization.epoch_choice import best_epoch, dev_scores
from hfmnas_keras.optimization.saved_state import SavedState
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.training_step import TrainingStep


class TwoFits:
    """Fits one model on train with dev watched, then again on train + dev, and saves its state after each epoch."""

    def __init__(
        self,
        model: keras.Model,
        backbone_variables: list[keras.Variable],
        settings: TrainingSettings,
        saved_state: SavedState,
        fixed_threshold: float,
    ):
        self.fixed_threshold = fixed_threshold
        self.model = model
        self.backbone_variables = backbone_variables
        self.settings = settings
        self.saved_state = saved_state
        self.initial = [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.variables]
        self.history: dict[str, list[dict[str, Any]]] = {"fit": [], "retrain": []}
        self.part = "fit"
        if saved_state.exists():
            record = saved_state.record()
            self.part, self.history = record["part"], record["history"]
            logging.info("Final training goes on from %s (%s).", saved_state.path, self.part)

    def fit(self, train: DeviceRows | EncodedRows, dev: DeviceRows | EncodedRows) -> dict[str, Any]:
        """Trains on train until dev no longer gets better; returns the record of the best epoch."""
        if self.part == "fit":
            step = self._start(train, self.settings.max_epochs)
            while not self._has_stopped():
                self.history["fit"].append(self._run_epoch(step, train, dev, self.settings.max_epochs))
                self._save(step)
        return self.history["fit"][self._best()]

    def dev_logits(self, epoch: int) -> np.ndarray:
        """Those of an epoch of the fit, from 1."""
        return np.load(self._dev_logits_path(epoch), allow_pickle=False)

    def retrain(self, rows: DeviceRows | EncodedRows, epochs: int) -> None:
        """Trains from the initial weights again, on all rows, for as many epochs."""
        if self.part == "fit":
            for variable, value in zip(self.model.variables, self.initial, strict=True):
                variable.assign(value)
            self.part = "retrain"
        step = self._start(rows, epochs)
        while len(self.history["retrain"]) < epochs:
            self.history["retrain"].append(self._run_epoch(step, rows, None, epochs))
            self._save(step)

    def _start(self, rows: DeviceRows | EncodedRows, epochs: int) -> TrainingStep:
        steps = -(-rows.num_rows // self.settings.batch_size)
        num_outputs = self.model.output["logits"].shape[-1]
        weights = class_weights(rows.labels_array, num_outputs, self.settings.class_weights)
        step = TrainingStep(self.model, self.backbone_variables, self.settings, steps * epochs, weights)
        if self.history[self.part]:
            self.saved_state.restore(step.variables)
        return step

    def _save(self, step: TrainingStep) -> None:
        self.saved_state.save(step.variables, {"part": self.part, "history": self.history})

    def _has_stopped(self) -> bool:
        epochs = len(self.history["fit"])
        return epochs > 0 and (
            epochs >= self.settings.max_epochs or epochs - 1 - self._best() >= self.settings.patience
        )

    def _best(self) -> int:
        """The epoch, from 0, that dev chooses."""
        history = self.history["fit"]
        return best_epoch(*([record[name] for record in history] for name in ("dev_average_precision", "dev_loss")))

    def _run_epoch(
        self,
        step: TrainingStep,
        rows: DeviceRows | EncodedRows,
        dev: DeviceRows | EncodedRows | None,
        epochs: int,
    ) -> dict[str, Any]:
        epoch = len(self.history[self.part])
        started = time.monotonic()
        order = BatchOrder(rows.num_rows, self.settings.batch_size, self.settings.seed, stream=2)
        row_numbers = order.rows_of_pass(epoch).reshape(-1, self.settings.batch_size)
        print(f"Final training ({self.part}), epoch {epoch + 1}/{epochs}")
        progress = keras.utils.Progbar(len(row_numbers), stateful_metrics=["dev_f1", "loss"], interval=1.0)
        for number, (inputs, labels) in enumerate(rows.batches(row_numbers), start=1):
            step.run(inputs, labels)
            if number < len(row_numbers):
                progress.update(number)
        record = {"epoch": epoch + 1, **step.take_losses(), "learning_rate": step.learning_rate()}
        shown = [("loss", record["loss"])]
        if dev is not None:
            logits = self._logits(step, dev)
            # Before the state, without which this epoch is run again.
            self.saved_state.path.parent.mkdir(parents=True, exist_ok=True)
            np.save(self._dev_logits_path(epoch + 1), logits)
            record.update(dev_scores(dev.labels_array, logits, self.settings.threshold, self.fixed_threshold))
            shown.append(("dev_f1", record["dev_macro_f1"]))
        progress.update(len(row_numbers), shown, finalize=True)
        record["seconds"] = round(time.monotonic() - started, 3)
        return record

    def _dev_logits_path(self, epoch: int) -> pathlib.Path:
        return self.saved_state.path.with_name(f"dev_logits_{epoch}.npy")

    def _logits(self, step: TrainingStep, rows: DeviceRows | EncodedRows) -> np.ndarray:
        size = min(4 * self.settings.batch_size, rows.num_rows)
        padded = np.resize(np.arange(rows.num_rows, dtype="int32"), (-(-rows.num_rows // size), size))
        return np.concatenate([step.predict(inputs).numpy() for inputs, _ in rows.batches(padded)])[: rows.num_rows]
