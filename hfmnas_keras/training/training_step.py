"""One compiled training step of a fusion network, alone or with its backbones."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hfmnas_keras.layers.replicas import own_part, sum_over_replicas
from hfmnas_keras.optimization.data_parallel import DataParallel
from hfmnas_keras.optimization.loss_scale import LossScale, changes_in
from hfmnas_keras.optimization.losses import own_losses, task_loss
from hfmnas_keras.optimization.schedules import CosineWithRestarts
from hfmnas_keras.optimization.weight_decay import WeightDecay
from hfmnas_keras.settings.training import TrainingSettings

#: How the names of the outputs end that are the logits of a backbone's head.
HEAD = "_head"


class TrainingStep:
    """Lowers task loss + the model's own losses (lambda * DCCA) + `head_weight` times the heads' task losses.

    On several devices (`settings.devices`) each computes on its part of the batch (`DataParallel`).

    Args:
        model: `keras.Model` from dict of inputs to dict of logits: `"logits"`; `"text_head"` and the like of unimodal
            heads; any further ones belong to the fusion network and their task losses are added as they are.
        backbone_variables: trainable variables of unfrozen backbones; they learn at `backbone_rate` times the rate.
        settings: `TrainingSettings`, whose `precision` names the policy of the model.
        total_steps: int. Length of the cosine decay.
        class_weights: array or None. Of `hfmnas_keras.optimization.class_weights`. Defaults to `None`.
    """

    def __init__(
        self,
        model: keras.Model,
        backbone_variables: Sequence[keras.Variable],
        settings: TrainingSettings,
        total_steps: int,
        class_weights: np.ndarray | None = None,
    ):
        self.model = model
        self.settings = settings
        self._class_weights = class_weights
        self._devices = DataParallel(model, settings.devices, settings.batch_size)
        self._seed_states = [v for v in model.variables if v.path.split("/")[-1] == "seed_generator_state"]
        backbone_ids = {id(variable) for variable in backbone_variables}
        groups = [
            ("fusion", 1.0, [v for v in model.trainable_variables if id(v) not in backbone_ids]),
            ("backbone", settings.backbone_rate, [v for v in model.trainable_variables if id(v) in backbone_ids]),
        ]
        self._decay = WeightDecay(settings.weight_decay, settings.decay)
        self._optimizers = []
        self._schedules = []
        for name, factor, variables in groups:
            if variables and factor:
                # One cycle as long as the run: a plain cosine decay.
                schedule = CosineWithRestarts(
                    factor * settings.learning_rate, factor * settings.min_learning_rate, total_steps, total_steps
                )
                self._schedules.append(schedule)
                self._optimizers.append((self._decay.adam(schedule, variables, name=f"{name}_adam"), variables))
        self._trained_variables = [variable for _, group in self._optimizers for variable in group]
        self._sums = {
            name: keras.Variable(0.0, trainable=False, dtype="float32", name=f"{name}_sum")
            for name in ("loss", "added_loss", "steps")
        }
        self._loss_scale = LossScale(settings.precision)
        self.traces = 0
        # Every batch has one shape, so each is traced once.
        self.run = tf.function(self._run, autograph=False)
        self.predict = tf.function(self._predict, autograph=False)

    @property
    def variables(self) -> list[keras.Variable]:
        """All state, in a fixed order: what a checkpoint holds."""
        optimizer_variables = [v for optimizer, _ in self._optimizers for v in optimizer.variables]
        return [*self.model.variables, *optimizer_variables, *self._sums.values(), *self._loss_scale.variables]

    def learning_rate(self) -> float:
        """Rate of the fusion network in the last step."""
        last_step = keras.ops.maximum(self._optimizers[0][0].iterations - 1, 0)
        return float(keras.ops.convert_to_numpy(self._schedules[0](last_step)))

    def take_losses(self) -> dict[str, float]:
        """Mean `loss` and `added_loss` since the last call.

        Raises:
            RuntimeError: when a loss has become NaN or infinite.
        """
        loss, added, steps = (float(keras.ops.convert_to_numpy(v)) for v in self._sums.values())
        for variable in self._sums.values():
            variable.assign(0.0)
        means = {"loss": loss / max(steps, 1.0), "added_loss": added / max(steps, 1.0)}
        if not np.isfinite(list(means.values())).all():
            raise RuntimeError(
                f"The training has diverged: mean losses {means}. Lower `learning_rate` "
                f"({self.settings.learning_rate}) or `backbone_rate` ({self.settings.backbone_rate})."
            )
        return means

    def _run(self, inputs: dict[str, Any], labels: Any) -> None:
        self.traces += 1
        (loss, added), gradients, held_back = self._devices.run(self._differentiate, (inputs, labels))
        gradients = self._decay.added_to(gradients, self._trained_variables, labels)

        def apply() -> None:
            start = 0
            for optimizer, group in self._optimizers:
                optimizer.apply(gradients[start : start + len(group)], group)
                start += len(group)
            self._sums["loss"].assign_add(loss)
            self._sums["added_loss"].assign_add(added)
            self._sums["steps"].assign_add(1.0)

        self._loss_scale.apply_if_finite([loss, added, *gradients], held_back, apply, self._sums["loss"].assign_add)

    def _differentiate(self, batch: Any) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tuple[Any, Any]]]:
        """Both losses, the gradients, and what else would change, where it must be held back."""
        inputs, labels = batch
        values = [variable.value for variable in self._trained_variables]
        scope = self._loss_scale.scope(self._seed_states)
        with scope or contextlib.nullcontext(), tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            outputs = self.model(inputs, training=True)
            own = own_losses(self.model, scope)
            smoothing, weights = self.settings.label_smoothing, self._class_weights
            loss = task_loss(labels, outputs["logits"], smoothing, weights)
            added = sum((tf.cast(added, loss.dtype) for added in own), tf.zeros((), loss.dtype))
            total = loss + added
            for name in sorted(set(outputs) - {"logits"}):
                weight = self.settings.head_weight if name.endswith(HEAD) else 1.0
                total += weight * task_loss(labels, outputs[name], smoothing, weights)
            total = self._loss_scale.scaled(own_part(total))
        gradients = tape.gradient(total, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        gradients = sum_over_replicas([tf.convert_to_tensor(gradient) for gradient in gradients])
        losses = sum_over_replicas([own_part(loss), own_part(added)])
        return losses, self._loss_scale.unscaled(gradients), changes_in(scope, self.model.non_trainable_variables)

    def _predict(self, inputs: dict[str, Any]) -> Any:
        return tf.cast(self.model(inputs, training=False)["logits"], tf.float32)
