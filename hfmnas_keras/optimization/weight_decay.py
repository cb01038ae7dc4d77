"""Weight decay, decoupled or coupled, on the weights that should have it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from hfmnas_keras.optimization.fused_adam import FusedAdam

# Last part of a variable's path: scales and offsets of norms, biases, node importance, the state-space parameters that
# Mamba trains without decay, and embeddings: a row whose word is not in the batch has no gradient but the decay's,
# which Adam would scale up to a full step, so that rare words would be forgotten.
_NEVER_DECAYED = ("bias", "gamma", "beta", "scale", "offset", "importance", "decay_log", "skip", "embeddings")


def is_decayed(variable: keras.Variable) -> bool:
    """Whether weight decay applies: kernels, not norms, biases, embeddings or node importance."""
    name = variable.path.split("/")[-1].lower()
    return len(variable.shape) >= 2 and name not in _NEVER_DECAYED and not name.endswith("bias")


def decays_all(variable: keras.Variable) -> bool:
    """Weight decay applies to every variable: to gamma and beta of the architecture."""
    return True


@dataclasses.dataclass(frozen=True)
class WeightDecay:
    """Weight decay in one of two forms (docs/method.md, section 7).

    `"decoupled"` (AdamW): each step takes `learning_rate * rate` of a weight away. It depends neither on the scale of
    the loss nor on the number of labels. `"coupled"` (L2, the `weight_decay` of `torch.optim.Adam`, which DARTS, BM-NAS
    and so the paper mean): `rate / labels` times the weight is added to its gradient, before Adam. The task loss is a
    mean over rows and labels; divided by the labels, the decay weighs against each label's loss as it does where there
    is one.

    Args:
        rate: float. `0` is no decay.
        form: str. `"decoupled"` or `"coupled"`.
        decays: function from a variable to whether it decays. Defaults to `is_decayed`.

    Reference:
     - [Loshchilov and Hutter, 2019](https://arxiv.org/abs/1711.05101)
    """

    rate: float
    form: str = "decoupled"
    decays: Callable[[keras.Variable], bool] = is_decayed

    def adam(self, learning_rate: Any, variables: Sequence[keras.Variable], **arguments: Any) -> FusedAdam:
        """A built Adam of these variables, which decays them where the form is decoupled."""
        rate = self.rate if self.form == "decoupled" else 0.0
        optimizer = FusedAdam(learning_rate, decay_rate=rate, decays=self.decays, **arguments)
        optimizer.build(list(variables))
        return optimizer

    def added_to(
        self, gradients: Sequence[Any], variables: Sequence[keras.Variable], labels: Any, descent: bool = False
    ) -> list[Any]:
        """The gradients that Adam is to see.

        Args:
            gradients: list of tensors or None.
            variables: the variables, in the same order.
            labels: the batch's labels, `(batch,)` class ids or `(batch, labels)` multi-hot.
            descent: bool. Whether plain gradient descent follows, where both forms are added to the gradient.
                Defaults to `False`.
        """
        rate = self.rate
        if self.form == "coupled":
            rate = self.rate / (labels.shape[-1] if len(labels.shape) == 2 else 1)
        elif not descent:
            return list(gradients)
        return [
            gradient + rate * ops.cast(variable.value, gradient.dtype)
            if gradient is not None and rate and self.decays(variable)
            else gradient
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
