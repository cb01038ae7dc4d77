"""Trains candidates on cached features, each alone, and remembers how each did."""

from __future__ import annotations

import json
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hfmnas_keras.data.batch_order import BatchOrder
from hfmnas_keras.data.device_rows import DeviceRows
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.data.streamed_rows import feature_rows
from hfmnas_keras.genotype.base_genotype import choices_in
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.models.hf_mnas.searched_model import searched_model
from hfmnas_keras.optimization.class_weights import class_weights
from hfmnas_keras.optimization.f1_score import macro_f1
from hfmnas_keras.optimization.losses import task_loss
from hfmnas_keras.optimization.peak_memory import peak_memory_bytes
from hfmnas_keras.optimization.saved_state import SavedState
from hfmnas_keras.search.strategies.candidate_network import CandidateNetwork
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import SpaceSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.training_step import TrainingStep


class CandidateTraining:
    """Trains the searched models of any number of genotypes by one compiled step.

    Candidates start from the same weights, as far as their operations do, and see the same batches: what tells them
    apart is the genotype. The learning rate falls once, by a cosine that ends with the last rung.

    All that a strategy asks is remembered in `folder`: the record of the candidates in `race.npz`, and the state of
    each that may go on in `candidate_0007.npz`, written after each epoch that ends later than
    `settings.checkpoint_seconds` after the last one, and at the end of each call. Asked the same again, after a kill or
    without one, it goes on from there and gives the same numbers.

    Args:
        train, dev: `FeatureSet`s.
        num_outputs: int. Classes or labels.
        settings: `SearchSettings`.
        folder: where to remember; made when missing.
        fingerprint: JSON-able dict of all that must be equal for a search to be the same search.
        fusion: `FusionSettings`.
        mitigation: `MitigationSettings`.
        space: `SpaceSettings`.

    Attributes:
        plan: dict, JSON-able, that a strategy may add to; it is kept by `remember`.
        traces: int. How often the training step was traced.
    """

    def __init__(
        self,
        train: FeatureSet,
        dev: FeatureSet,
        num_outputs: int,
        settings: SearchSettings,
        folder: str | os.PathLike,
        fingerprint: Mapping[str, Any],
        fusion: FusionSettings,
        mitigation: MitigationSettings,
        space: SpaceSettings,
    ):
        self.space = space
        self.settings = settings
        self.num_outputs = num_outputs
        self._folder = pathlib.Path(folder)
        self._fingerprint = dict(fingerprint)
        self._network = CandidateNetwork(
            train.feature_shapes, num_outputs, fusion, mitigation, space, settings.channels, name="candidate"
        )
        names = tuple(self._network.feature_shapes)
        self._train, self._dev = (feature_rows(rows, names, settings.device_bytes) for rows in (train, dev))
        self._order = BatchOrder(self._train.num_rows, settings.batch_size, settings.seed, stream=2)
        race = settings.race
        self._step = TrainingStep(
            self._network,
            [],
            TrainingSettings(
                batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                min_learning_rate=settings.min_learning_rate,
                weight_decay=settings.weight_decay,
                decay=settings.decay,
                label_smoothing=race.label_smoothing,
                unfreeze_backbones=False,
                devices=1,
                seed=settings.seed,
            ),
            race.rungs[-1] * self._order.steps_per_pass,
            class_weights(self._train.labels_array, num_outputs, settings.class_weights),
        )
        own = {id(variable) for variable in self._network.variables}
        self._optimizer_state = [
            (variable, np.array(keras.ops.convert_to_numpy(variable)))
            for variable in self._step.variables
            if id(variable) not in own
        ]
        self._memory = SavedState(self._folder / "race.npz", self._fingerprint)
        self._records: dict[int, dict[str, Any]] = {}
        self.plan: dict[str, Any] = {}
        self.seconds = 0.0
        self._left = 0
        self._epoch_seconds: list[float] = []
        if self._memory.exists():
            record = self._memory.record()
            self._records = {int(number): record for number, record in record["candidates"].items()}
            self.plan, self.seconds = record["plan"], record["seconds"]
        self._since = time.monotonic()

    @property
    def traces(self) -> int:
        return self._step.traces

    @property
    def records(self) -> dict[int, dict[str, Any]]:
        """By candidate: `genotype`, its JSON object, and `history`, a dict an epoch.

        Each epoch has `epoch` (from 1), `train_loss`, `added_loss` (lambda times DCCA), `dev_loss`, `dev_macro_f1`,
        `learning_rate` and `seconds`.
        """
        return self._records

    def expect(self, epochs: int) -> None:
        """Tells how many epochs all candidates will have been trained for, for the time left that is shown."""
        self._left = epochs - self.epochs

    @property
    def epochs(self) -> int:
        """Epochs of all candidates so far."""
        return sum(len(record["history"]) for record in self._records.values())

    @property
    def epoch_seconds(self) -> float:
        """What an epoch takes: the median of this process, whose first ones are longer."""
        return float(np.median(self._epoch_seconds)) if self._epoch_seconds else 0.0

    def train(self, number: int, genotype: Genotype, epochs: int) -> list[dict[str, Any]]:
        """Trains a candidate until it has seen the train rows so many times.

        Args:
            number: int. Names the candidate.
            genotype: `Genotype`, the same whenever the number is.
            epochs: int. At most those of the last rung.

        Returns:
            The history of the candidate up to there.

        Raises:
            RuntimeError: when its loss becomes NaN or infinite.
            ValueError: when another genotype had this number.
        """
        content = json.loads(genotype.to_json())
        known = self._records.setdefault(number, {"genotype": content, "history": []})
        if choices_in(known["genotype"]) != choices_in(content):
            raise ValueError(f"Candidate {number} has another genotype than it had before. Remove {self._folder}.")
        history = known["history"]
        if len(history) < epochs:
            state, history = self._started(number, genotype)
            saved_at = time.monotonic()
            while len(history) < epochs:
                history.append(self._run_epoch(len(history)))
                self._show(number, history)
                if time.monotonic() - saved_at > self.settings.checkpoint_seconds or len(history) == epochs:
                    state.save(self._step.variables, {"history": history})
                    saved_at = time.monotonic()
            known["history"] = history
            self.remember()
        return history[:epochs]

    def remember(self) -> None:
        """Writes the records and the plan."""
        now = time.monotonic()
        self.seconds += now - self._since
        self._since = now
        candidates = {str(number): record for number, record in self._records.items()}
        self._memory.save([], {"candidates": candidates, "plan": self.plan, "seconds": self.seconds})

    def forget(self, number: int) -> None:
        """Removes the weights of a candidate that will not go on; its record stays."""
        state = self._state(number)
        for path in (state.path, state.previous_path):
            path.unlink(missing_ok=True)

    def model(self, number: int) -> keras.Model:
        """The searched model of a candidate, with the weights that it has been trained to."""
        genotype = self.genotype(number)
        self._state(number).restore(self._step.variables)
        network = self._network
        final_model = FinalModelSettings(channels=network.channels, sequence_encoder=False)
        model = searched_model(
            genotype, network.feature_shapes, self.num_outputs, network.fusion, final_model, network.mitigation
        )
        network.give_weights(genotype, model)
        return model

    def logits(self, number: int, rows: FeatureSet) -> np.ndarray:
        """What a candidate says of other rows, float32 `(rows, classes)`."""
        self._state(number).restore(self._step.variables)
        return self._logits(feature_rows(rows, tuple(self._network.feature_shapes), self.settings.device_bytes))

    def dev_losses(self, number: int) -> np.ndarray:
        """The loss of a candidate on each dev row, `(rows,)`."""
        self._state(number).restore(self._step.variables)
        logits, labels = tf.constant(self._logits(self._dev)), self._dev.labels
        rows = [task_loss(labels[row : row + 1], logits[row : row + 1]) for row in range(self._dev.num_rows)]
        return np.array(rows, "float64")

    def genotype(self, number: int) -> Genotype:
        return Genotype.from_content(self._records[number]["genotype"])

    def cost(self) -> dict[str, float]:
        """`seconds`, `weight_steps` and `peak_memory_bytes`, as of `SearchResult`."""
        return {
            "seconds": self.seconds + time.monotonic() - self._since,
            "weight_steps": self.epochs * self._order.steps_per_pass,
            "architecture_steps": 0,
            "peak_memory_bytes": peak_memory_bytes(),
        }

    def _state(self, number: int) -> SavedState:
        fingerprint = {**self._fingerprint, "candidate": choices_in(self._records[number]["genotype"])}
        return SavedState(self._folder / f"candidate_{number:04d}.npz", fingerprint)

    def _started(self, number: int, genotype: Genotype) -> tuple[SavedState, list[dict[str, Any]]]:
        state = self._state(number)
        if state.exists():
            return state, state.restore(self._step.variables)["history"]
        self._network.draw(genotype, self.settings.seed)
        for variable, value in self._optimizer_state:
            variable.assign(value)
        return state, []

    def _run_epoch(self, epoch: int) -> dict[str, Any]:
        started = time.monotonic()
        rows = self._order.rows_of_pass(epoch).reshape(-1, self.settings.batch_size)
        for inputs, labels in self._train.batches(rows):
            self._step.run(inputs, labels)
        losses = self._step.take_losses()
        logits = self._logits(self._dev)
        seconds = time.monotonic() - started
        self._epoch_seconds.append(seconds)
        return {
            "epoch": epoch + 1,
            "train_loss": losses["loss"],
            "added_loss": losses["added_loss"],
            "dev_loss": float(task_loss(self._dev.labels, tf.constant(logits))),
            "dev_macro_f1": macro_f1(self._dev.labels_array, logits),
            "learning_rate": self._step.learning_rate(),
            "seconds": round(seconds, 3),
        }

    def _logits(self, rows: DeviceRows) -> np.ndarray:
        return rows.outputs(lambda fetched: self._step.predict(rows.batch(fetched)[0]))

    def _show(self, number: int, history: list[dict[str, Any]]) -> None:
        last = history[-1]
        self._left = max(0, self._left - 1)
        print(
            f"Candidate {number}, epoch {last['epoch']}: dev loss {last['dev_loss']:.4f}, dev F1 "
            f"{last['dev_macro_f1']:.3f}; {self._left * self.epoch_seconds:.0f} s left",
            flush=True,
        )


def score_of(history: list[dict[str, Any]], score: str) -> float:
    """What a strategy compares, the lower the better; names as of `RaceSettings.score`."""
    if score == "train_loss":
        return float(sum(record["train_loss"] for record in history))
    return history[-1]["dev_loss"] if score == "dev_loss" else -history[-1]["dev_macro_f1"]
