"""The two compiled steps of the bilevel search."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hfmnas_keras.data.device_rows import DeviceRows
from hfmnas_keras.layers.replicas import own_part, sum_over_replicas
from hfmnas_keras.optimization.data_parallel import DataParallel, seeds_of_replica
from hfmnas_keras.optimization.loss_scale import LossScale, changes_in
from hfmnas_keras.optimization.losses import own_losses, task_loss
from hfmnas_keras.optimization.schedules import CosineWithRestarts
from hfmnas_keras.optimization.weight_decay import WeightDecay, decays_all
from hfmnas_keras.settings.search import SearchSettings


class BilevelStep:
    """Weight step and architecture step of the search, each one compiled call (Eq. 29-30).

    `weight_step(row_numbers)` lowers the task loss plus the model's own losses (lambda times DCCA) on train rows and
    changes all but gamma and beta. `architecture_step(row_numbers)` lowers the task loss alone on dev rows and changes
    gamma and beta only: batch normalisation and the covariances of the DCCA loss compute with the batch's statistics,
    and what they would store is dropped, random state included (docs/method.md, section 7). Each differentiates only
    what it updates.

    With `settings.second_order` the step is `architecture_step(row_numbers, train_row_numbers)`. It lowers the dev
    loss at the weights w - xi * g(w, gamma, beta), where g is what a weight step on these train rows descends (weight
    decay included), and differentiates through g, without finite differences (in the DCCA loss the derivative by the
    covariances is held constant: the polar factor in it has one without bound where correlations are equal). xi is
    `look_ahead_rate`, or the weights' learning rate at that moment. As in DARTS the look-ahead is plain gradient
    descent, though Adam moves the weights: Adam's first steps depend on the sign of a gradient alone, which has no
    derivative.

    Of a model that computes in float16 each step scales its loss, and changes nothing where a gradient is not finite
    (`LossScale`). On several devices (`settings.devices`) each computes on its part of the batch (`DataParallel`).

    Args:
        model: built `keras.Model` with `architecture_variables` and `weight_variables`, from dict of features to
            logits `(batch, classes)`.
        train, dev: `DeviceRows` or `StreamedRows`.
        settings: `SearchSettings`.
        steps_per_epoch: int. Weight steps of an epoch.
        architecture_learning_rate: float.
        class_weights: array or None. Of `hfmnas_keras.optimization.class_weights`, in both losses. Defaults to `None`.

    Attributes:
        compiled_steps: dict from `"weights"` and `"architecture"` to the compiled function of fetched rows.
        traces: dict from step name to how often it was traced; stays at 1 as all batches have one shape.
    """

    def __init__(
        self,
        model: keras.Model,
        train: DeviceRows,
        dev: DeviceRows,
        settings: SearchSettings,
        steps_per_epoch: int,
        architecture_learning_rate: float,
        class_weights: np.ndarray | None = None,
    ):
        self.model = model
        self.train = train
        self.dev = dev
        self.settings = settings
        self._devices = DataParallel(model, settings.devices, settings.batch_size)
        self.weight_variables = list(model.weight_variables)
        self.architecture_variables = list(model.architecture_variables)
        _check_variables(model, self.weight_variables, self.architecture_variables)
        self.schedule = CosineWithRestarts(
            settings.learning_rate,
            settings.min_learning_rate,
            first_cycle=settings.first_cycle_epochs * steps_per_epoch,
            total_steps=settings.epochs * steps_per_epoch,
        )
        self._class_weights = class_weights
        self._decay = WeightDecay(settings.weight_decay, settings.decay)
        self._architecture_decay = WeightDecay(settings.architecture_weight_decay, settings.decay, decays_all)
        self.weight_optimizer = self._decay.adam(self.schedule, self.weight_variables, name="weight_adam")
        self.architecture_optimizer = self._architecture_decay.adam(
            architecture_learning_rate,
            self.architecture_variables,
            beta_1=0.5,
            beta_2=0.999,
            name="architecture_adam",
        )
        # The gradients of the two steps differ by orders of magnitude.
        self._weight_scale, self._architecture_scale = (
            LossScale(settings.precision, name=f"{name}_loss_scale") for name in ("weight", "architecture")
        )
        self._seed_states = [v for v in model.variables if v.path.split("/")[-1] == "seed_generator_state"]
        # Sums of the losses of this epoch, on the device: reading each step's loss would stall an accelerator.
        self._sums = {
            name: keras.Variable(0.0, trainable=False, dtype="float32", name=f"{name}_sum")
            for name in ("train_loss", "added_loss", "architecture_loss")
        }
        self._counts = {
            # float, as TensorFlow keeps int32 variables off the accelerator
            name: keras.Variable(0.0, trainable=False, dtype="float32", name=f"{name}_steps")
            for name in ("weights", "architecture")
        }
        self.traces = {"weights": 0, "architecture": 0, "predict": 0}
        weight_rows, architecture_rows = [train.signature(settings.batch_size)], [dev.signature(settings.batch_size)]
        if settings.second_order:
            architecture_rows += weight_rows
        # No Python control flow depends on a tensor, and looking for it doubles the time of tracing.
        self.compiled_steps = {
            "weights": tf.function(self._weight_step, input_signature=weight_rows, autograph=False),
            "architecture": tf.function(self._architecture_step, input_signature=architecture_rows, autograph=False),
        }
        self._predict = tf.function(self._predict_dev, input_signature=[dev.signature(None)], autograph=False)

    def weight_step(self, row_numbers: np.ndarray) -> None:
        """One step of the weights on these train rows."""
        self.compiled_steps["weights"](self.train.fetch(row_numbers))

    def architecture_step(self, row_numbers: np.ndarray, train_row_numbers: np.ndarray | None = None) -> None:
        """One step of gamma and beta on these dev rows, and for the second order the train rows of the look-ahead."""
        fetched = [self.dev.fetch(row_numbers)]
        if train_row_numbers is not None:
            fetched.append(self.train.fetch(train_row_numbers))
        self.compiled_steps["architecture"](*fetched)

    @property
    def variables(self) -> list[keras.Variable]:
        """All state of the search, in a fixed order: what a checkpoint holds."""
        return [
            *self.model.variables,
            *self.weight_optimizer.variables,
            *self.architecture_optimizer.variables,
            *self._sums.values(),
            *self._counts.values(),
            *self._weight_scale.variables,
            *self._architecture_scale.variables,
        ]

    def mean_losses(self) -> dict[str, float]:
        """Means since the epoch began: `train_loss` (task), `added_loss` (lambda * DCCA), `architecture_loss` (dev).

        Raises:
            RuntimeError: when a loss has become NaN or infinite.
        """
        counts = {name: int(keras.ops.convert_to_numpy(variable)) for name, variable in self._counts.items()}
        means = {}
        for name, variable in self._sums.items():
            count = counts["architecture" if name == "architecture_loss" else "weights"]
            means[name] = float(keras.ops.convert_to_numpy(variable)) / max(count, 1)
        if not np.isfinite(list(means.values())).all():
            raise RuntimeError(
                f"The search has diverged: mean losses of this epoch {means} after "
                f"{int(keras.ops.convert_to_numpy(self.weight_optimizer.iterations))} weight steps. "
                f"Lower `learning_rate` ({self.settings.learning_rate}) or check the features for outliers."
            )
        return means

    def start_epoch(self) -> None:
        """Sets the sums of the losses to zero."""
        for variable in (*self._sums.values(), *self._counts.values()):
            variable.assign(keras.ops.zeros((), dtype=variable.dtype))

    def dev_logits(self) -> np.ndarray:
        """Logits of all dev rows in inference mode, `(rows, classes)`.

        Inference mode uses the moving averages that the weight steps keep: what the discretised model will do, the
        same for any batch, and without dropout.
        """
        return self.dev.outputs(self._predict)

    def _weight_step(self, fetched: Any) -> None:
        self.traces["weights"] += 1
        batch = self.train.batch(fetched)
        (loss, added), gradients, held_back = self._devices.run(self._differentiate_weights, batch)
        gradients = self._decay.added_to(gradients, self.weight_variables, batch[1])

        def apply() -> None:
            self.weight_optimizer.apply(gradients, self.weight_variables)
            self._sums["train_loss"].assign_add(loss)
            self._sums["added_loss"].assign_add(added)
            self._counts["weights"].assign_add(1.0)

        self._weight_scale.apply_if_finite(
            [loss, added, *gradients], held_back, apply, self._sums["train_loss"].assign_add
        )

    def _differentiate_weights(self, batch: Any) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tuple[Any, Any]]]:
        """Both losses, the gradients of the weights, and what else would change, where it must be held back."""
        values = [variable.value for variable in self.weight_variables]
        scope = self._weight_scale.scope(self._seed_states)
        with scope or contextlib.nullcontext(), tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            loss, added = map(own_part, self._train_losses(batch, scope))
            total = self._weight_scale.scaled(loss + added)
        gradients = self._weight_gradients(tape, total, values)
        return sum_over_replicas([loss, added]), gradients, changes_in(scope, self.model.non_trainable_variables)

    def _train_losses(self, batch: Any, scope: keras.StatelessScope | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Task loss and the sum of the model's own losses."""
        inputs, labels = batch
        loss = task_loss(labels, self.model(inputs, training=True), class_weights=self._class_weights)
        own = own_losses(self.model, scope)
        return loss, sum((tf.cast(added, loss.dtype) for added in own), tf.zeros((), loss.dtype))

    def _weight_gradients(self, tape: tf.GradientTape, total: tf.Tensor, values: list[Any]) -> list[tf.Tensor]:
        # Zero where nothing depends on a variable (a state-space scan over one position never uses its decay).
        gradients = tape.gradient(total, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return self._weight_scale.unscaled(sum_over_replicas(gradients))

    def _architecture_step(self, fetched: Any, fetched_train: Any = None) -> None:
        self.traces["architecture"] += 1
        batches = [self.dev.batch(fetched)]
        if fetched_train is not None:
            batches.append(self.train.batch(fetched_train))
        loss, gradients = self._devices.run(self._differentiate_architecture, *batches)
        gradients = self._architecture_decay.added_to(gradients, self.architecture_variables, batches[0][1])

        def apply() -> None:
            self.architecture_optimizer.apply(gradients, self.architecture_variables)
            self._sums["architecture_loss"].assign_add(loss)
            self._counts["architecture"].assign_add(1.0)

        self._architecture_scale.apply_if_finite(
            [loss, *gradients], [], apply, self._sums["architecture_loss"].assign_add
        )

    def _differentiate_architecture(self, batch: Any, train_batch: Any = None) -> tuple[tf.Tensor, list[tf.Tensor]]:
        inputs, labels = batch
        values = [variable.value for variable in self.architecture_variables]
        # What is assigned inside the scopes goes nowhere. Seeds must not advance either, but a stretch of
        # architecture steps (`phased`) must not repeat one dropout mask: each reads the seeds through its own number.
        replaced = self._seeds_of_this_step()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            if train_batch is not None:
                replaced = replaced + self._look_ahead(train_batch, replaced)
            with keras.StatelessScope(state_mapping=replaced):
                logits = self.model(inputs, training=True)
                loss = own_part(task_loss(labels, logits, class_weights=self._class_weights))
            scaled_loss = self._architecture_scale.scaled(loss)
        gradients = self._architecture_scale.unscaled(sum_over_replicas(tape.gradient(scaled_loss, values)))
        return sum_over_replicas(loss), gradients

    def _look_ahead(
        self, train_batch: Any, seeds: list[tuple[keras.Variable, Any]]
    ) -> list[tuple[keras.Variable, Any]]:
        """The weights after one step of gradient descent, as a function of gamma and beta."""
        values = [variable.value for variable in self.weight_variables]
        with (
            keras.StatelessScope(state_mapping=seeds, collect_losses=True) as scope,
            tf.GradientTape(watch_accessed_variables=False) as tape,
        ):
            tape.watch(values)
            total = self._weight_scale.scaled(own_part(sum(self._train_losses(train_batch, scope))))
        gradients = self._weight_gradients(tape, total, values)
        gradients = self._decay.added_to(gradients, self.weight_variables, train_batch[1], descent=True)
        rate = self.settings.look_ahead_rate
        rate = self.schedule(self.weight_optimizer.iterations) if rate is None else rate
        return [
            (variable, value - tf.cast(rate, gradient.dtype) * gradient)
            for variable, value, gradient in zip(self.weight_variables, values, gradients, strict=True)
        ]

    def _seeds_of_this_step(self) -> list[tuple[keras.Variable, Any]]:
        iterations = self.architecture_optimizer.iterations.value
        offset = tf.stack([tf.constant(0x3C6EF372, tf.int64), tf.cast(iterations, tf.int64)])
        states = seeds_of_replica(self._seed_states) or [(state, state.value) for state in self._seed_states]
        return [(state, value + tf.cast(offset, value.dtype)) for state, value in states]

    def _predict_dev(self, fetched: Any) -> tf.Tensor:
        self.traces["predict"] += 1
        inputs, _ = self.dev.batch(fetched)
        return tf.cast(self.model(inputs, training=False), tf.float32)


def _check_variables(model: keras.Model, weights: list[keras.Variable], architecture: list[keras.Variable]) -> None:
    if not architecture or not weights:
        raise ValueError(
            "The model must be built and have `architecture_variables` and `weight_variables`. "
            f"Received: {len(architecture)} and {len(weights)}."
        )
    listed = [id(variable) for variable in (*weights, *architecture)]
    trainable = {id(variable) for variable in model.trainable_variables}
    if len(set(listed)) != len(listed) or set(listed) != trainable:
        raise ValueError(
            "`weight_variables` and `architecture_variables` must share nothing and be all trainable variables. "
            f"Received: {len(weights)} + {len(architecture)}, of {len(trainable)} trainable."
        )
