"""Adam with one operation a variable."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, its update done by TensorFlow's single Adam kernel.

    `keras.optimizers.Adam` writes about fifteen small operations a variable into the graph. A supernet has hundreds of
    small variables, and these operations would be a third of its graph: of the time to trace it and to run it. The
    numbers are the same; the options that change the rule (`amsgrad`) are refused.

    With a `decay_rate` this is AdamW: before Adam's step a variable loses `learning_rate * decay_rate` of itself,
    whatever the scale of its gradient.

    Args:
        learning_rate: float or `LearningRateSchedule`.
        beta_1, beta_2: floats. Decay rates of the moments.
        epsilon: float.
        decay_rate: float. Decoupled weight decay. Defaults to `0`: none.
        decays: function from a variable to whether it decays. Defaults to `None`: all do.

    Reference:
     - [Kingma and Ba, 2015](https://arxiv.org/abs/1412.6980);
       [Loshchilov and Hutter, 2019](https://arxiv.org/abs/1711.05101)
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        decay_rate: float = 0.0,
        decays: Any = None,
        **kwargs: Any,
    ):
        for name in ("amsgrad", "weight_decay"):
            if kwargs.get(name):
                raise ValueError(f"`FusedAdam` has no `{name}`. Use `decay_rate`, or `keras.optimizers.Adam`.")
        super().__init__(learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, **kwargs)
        self.decay_rate = decay_rate
        self._decays = decays
        self._powers: list = []

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        # Once a step and not once a variable.
        steps = tf.cast(self.iterations.value, tf.float32) + 1.0
        self._powers = [tf.pow(tf.constant(beta, tf.float32), steps) for beta in (self.beta_1, self.beta_2)]
        if self.decay_rate:
            kept = 1.0 - tf.cast(self.learning_rate, tf.float32) * self.decay_rate
            for variable in self._trainable_variables if trainable_variables is None else trainable_variables:
                if self._decays is None or self._decays(variable):
                    variable.assign(variable.value * tf.cast(kept, variable.dtype))
        super().apply(grads, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.cast(self._powers[0], dtype),
            beta2_power=tf.cast(self._powers[1], dtype),
            lr=tf.cast(learning_rate, dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            # An embedding's gradient comes as slices.
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"decay_rate": self.decay_rate})
        return config
