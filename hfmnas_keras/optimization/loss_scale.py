"""Half precision: which policy a network computes by, and the scaling of its loss."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from hfmnas_keras.layers.replicas import present_replica
from hfmnas_keras.optimization.data_parallel import seeds_of_replica

# As of `keras.optimizers.LossScaleOptimizer`.
_INITIAL_SCALE = 2.0**15
_GROWTH_STEPS = 2000


def resolved_precision(precision: str) -> str:
    """The policy that `precision` stands for on this machine.

    `"auto"` is `"mixed_bfloat16"` where every GPU computes fast in it (compute capability 8 and above),
    `"mixed_float16"` where they do in that (7 and above), and `"float32"` elsewhere, on a CPU among others.

    Args:
        precision: str. One of `PRECISIONS` of `hfmnas_keras.settings.search`.

    Returns:
        str. Name of a Keras policy.
    """
    if precision != "auto":
        return precision
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    # Nothing is known of an accelerator that does not tell.
    generation = min((each.get("compute_capability", (0, 0))[0] for each in details), default=0)
    return "mixed_bfloat16" if generation >= 8 else "mixed_float16" if generation >= 7 else "float32"


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers that are made meanwhile, and given no policy of their own, compute in this one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class LossScale:
    """Dynamic scaling of the loss under `mixed_float16`; under every other policy it changes nothing.

    Gradients of about 1e-8 and less are zero in float16. So the loss is multiplied by a scale before it is
    differentiated, and the gradients divided by it. Where something is infinite or NaN then, the step is skipped: no
    weight, moment, moving average or sum of losses changes, and the scale is halved. After 2,000 steps without such an
    event it is doubled. A step that must be skipped at scale 1 is no matter of the scale, but a divergence.

    Only the caller knows what a step changes. It computes within `scope()`, which holds back what layers assign, and
    hands all changes to `apply_if_finite`.

    Args:
        precision: str. Name of a Keras policy, see `resolved_precision`.

    Reference:
     - [Micikevicius et al., 2018](https://arxiv.org/abs/1710.03740)
    """

    def __init__(self, precision: str, name: str = "loss_scale"):
        self.is_active = precision == "mixed_float16"
        self.variables: list[keras.Variable] = []
        if self.is_active:
            self._scale = keras.Variable(_INITIAL_SCALE, trainable=False, dtype="float32", name=name)
            self._steps = keras.Variable(0.0, trainable=False, dtype="float32", name=f"{name}_steps")
            self.variables = [self._scale, self._steps]

    def scope(self, seed_states: Sequence[keras.Variable] = ()) -> keras.StatelessScope | None:
        """What a step computes in: `None` where layers may assign at once.

        Args:
            seed_states: the random state that layers read, so that replicas draw numbers of their own.
        """
        if not self.is_active and present_replica() is None:
            return None
        return keras.StatelessScope(state_mapping=seeds_of_replica(seed_states), collect_losses=True)

    def scaled(self, loss: Any) -> Any:
        return loss * tf.cast(self._scale.value, loss.dtype) if self.is_active else loss

    def unscaled(self, gradients: Sequence[Any]) -> list[Any]:
        if not self.is_active:
            return list(gradients)
        return [gradient / tf.cast(self._scale.value, gradient.dtype) for gradient in gradients]

    def apply_if_finite(
        self,
        values: Sequence[Any],
        held_back: Sequence[tuple[keras.Variable, Any]],
        apply: Callable[[], None],
        skip: Callable[[Any], None],
    ) -> None:
        """Makes the changes of a step, if all of it is finite.

        Args:
            values: tensors on which it depends: losses and unscaled gradients.
            held_back: what `scope()` held back, from `changes_in`.
            apply: function that makes all further changes.
            skip: function that is called instead, with `0`, or NaN where the step has diverged.
        """
        if not self.is_active:
            for variable, value in held_back:
                variable.assign(value)
            apply()
            return
        floats = [value for value in (*values, *(value for _, value in held_back)) if value.dtype.is_floating]
        is_finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in floats])

        def make_changes() -> Any:
            for variable, value in held_back:
                variable.assign(value)
            apply()
            grows = self._steps.value + 1.0 >= _GROWTH_STEPS
            scale = self._scale.value
            # The scale stays where twice as much would be no float32.
            self._scale.assign(tf.where(grows & tf.math.is_finite(2.0 * scale), 2.0 * scale, scale))
            self._steps.assign(tf.where(grows, 0.0, self._steps.value + 1.0))
            return tf.zeros(())

        def leave_all() -> Any:
            scale = self._scale.value
            skip(tf.where(scale > 1.0, 0.0, float("nan")))
            self._scale.assign(tf.maximum(scale / 2.0, 1.0))
            self._steps.assign(0.0)
            return tf.zeros(())

        tf.cond(is_finite, make_changes, leave_all)


def changes_in(scope: keras.StatelessScope | None, variables: Sequence[keras.Variable]) -> list[tuple[Any, Any]]:
    """The variables that were assigned within a scope, with what was."""
    if scope is None:
        return []
    values = ((variable, scope.get_current_value(variable)) for variable in variables)
    return [(variable, value) for variable, value in values if value is not None]
