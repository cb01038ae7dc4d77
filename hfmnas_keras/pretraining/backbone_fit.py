"""Fits a unimodal network to labels."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hfmnas_keras.data.batch_order import BatchOrder
from hfmnas_keras.data.prefetched import prefetched
from hfmnas_keras.optimization.class_weights import class_weights
from hfmnas_keras.optimization.epoch_choice import dev_scores
from hfmnas_keras.optimization.losses import task_loss
from hfmnas_keras.optimization.weight_decay import WeightDecay
from hfmnas_keras.pretraining.batched_outputs import BatchedOutputs
from hfmnas_keras.settings.pretraining import PretrainingSettings


class BackboneFit:
    """Training of a network from rows to logits, which can start again from the same initial state.

    Args:
        network: `keras.Model` with one input and the logits as output.
        settings: `PretrainingSettings`.
        name: str. What the log lines call it.
    """

    def __init__(self, network: keras.Model, settings: PretrainingSettings, name: str):
        self.network = network
        self.settings = settings
        self.name = name
        self._logits = BatchedOutputs(network)
        self._class_weights: np.ndarray | None = None
        variables = network.trainable_variables
        self._optimizer = WeightDecay(settings.weight_decay).adam(settings.learning_rate, variables)
        # Seeds of dropout are among `variables`: a fold's run does not depend on the runs before it.
        self._state = [*network.variables, *self._optimizer.variables]
        self._initial_state = self._snapshot()
        dtype = keras.backend.standardize_dtype(network.inputs[0].dtype)

        @tf.function(reduce_retracing=True)
        def step(rows: Any, labels: Any, weights: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = task_loss(labels, network(tf.cast(rows, dtype), training=True), class_weights=weights)
            self._optimizer.apply(tape.gradient(loss, variables), variables)
            return loss

        self._step = step

    def reset(self, inputs: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> None:
        """Goes back to the weights, seeds and optimizer state of the beginning, and looks at the rows of the next fit.

        Layers are adapted to them, and classes weighed by how often they have them.
        """
        self._restore(self._initial_state)
        num_classes = int(self.network.outputs[0].shape[-1])
        self._class_weights = class_weights(labels[rows], num_classes, self.settings.class_weights)
        adapt_layers(self.network, inputs, rows)

    def logits(self, inputs: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        return self._logits(inputs, rows)

    def run(self, inputs: np.ndarray, labels: np.ndarray, rows: np.ndarray, label: str) -> None:
        """Trains on the given rows for `settings.max_epochs`."""
        self.reset(inputs, labels, rows)
        bar = keras.utils.Progbar(self.settings.max_epochs, stateful_metrics=["loss"])
        print(f"{self.name}: {label}")
        for epoch in range(self.settings.max_epochs):
            bar.update(epoch + 1, [("loss", self._epoch(inputs, labels, rows, epoch))])

    def run_watched(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        dev_inputs: np.ndarray,
        dev_labels: np.ndarray,
    ) -> dict[str, list[float]]:
        """Trains on all rows for `settings.max_epochs`, with dev scored after each.

        The last epoch stays, where the rate has fallen to nothing: choosing the best of noisy ones on dev, by average
        precision or macro F1, cost a point of macro F1 on test (docs/results.md).

        Returns:
            Curves by name (`train_loss`, `dev_loss`, `dev_macro_f1`, `dev_average_precision`), one value an epoch.

        Raises:
            RuntimeError: when the loss is not finite.
        """
        rows = np.arange(len(labels))
        self.reset(inputs, labels, rows)
        names = ("dev_loss", "dev_macro_f1", "dev_average_precision")
        curves: dict[str, list[float]] = {"train_loss": [], **{name: [] for name in names}}
        print(f"{self.name}: training with dev watched, {self.settings.max_epochs} epochs")
        bar = keras.utils.Progbar(self.settings.max_epochs, stateful_metrics=["loss", "dev_ap"])
        for epoch in range(self.settings.max_epochs):
            curves["train_loss"].append(self._epoch(inputs, labels, rows, epoch))
            scores = dev_scores(dev_labels, self.logits(dev_inputs))
            for name in names:
                curves[name].append(scores[name])
            shown = {"loss": curves["train_loss"][-1], "dev_ap": scores["dev_average_precision"]}
            bar.update(epoch + 1, list(shown.items()))
        return curves

    def _epoch(self, inputs: Any, labels: Any, rows: Any, epoch: Any) -> float:
        # Half a cosine, from the rate to nearly nothing.
        share = 0.5 * (1 + math.cos(math.pi * epoch / self.settings.max_epochs))
        self._optimizer.learning_rate = self.settings.learning_rate * share
        weights = None if self._class_weights is None else tf.constant(self._class_weights)
        order = BatchOrder(len(rows), min(self.settings.batch_size, len(rows)), self.settings.seed)
        numbers = range(epoch * order.steps_per_pass, (epoch + 1) * order.steps_per_pass)

        def read(batch: Any) -> Any:
            return tf.constant(inputs[batch]), tf.constant(labels[batch])

        losses = [self._step(*batch, weights) for batch in prefetched(read, (rows[order.batch(n)] for n in numbers))]
        loss = float(np.mean(losses))
        if not np.isfinite(loss):
            raise RuntimeError(
                f"{self.name}: the loss of epoch {epoch + 1} is {loss}. Lower `learning_rate` "
                f"(now {self.settings.learning_rate}) and look at the inputs for NaN and for extreme values."
            )
        return loss

    def _snapshot(self) -> Any:
        return [keras.ops.convert_to_numpy(variable) for variable in self._state]

    def _restore(self, values: Any) -> None:
        for variable, value in zip(self._state, values, strict=True):
            variable.assign(value)


def adapt_layers(network: keras.Model, inputs: np.ndarray, rows: np.ndarray | None = None) -> None:
    """Shows rows, all by default, to the layers that have a method `adapt_rows`."""
    for layer in network.layers:
        if hasattr(layer, "adapt_rows"):
            layer.adapt_rows(inputs[np.arange(len(inputs)) if rows is None else rows])
