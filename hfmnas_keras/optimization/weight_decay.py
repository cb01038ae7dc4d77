"""L2 weight decay on the weights that should have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

# Last part of a variable's path: scales and offsets of norms, biases, node importance, the state-space parameters that
# Mamba trains without decay, and embeddings: a row whose word is not in the batch has no gradient but the decay's,
# which Adam would scale up to a full step, so that rare words would be forgotten.
_NEVER_DECAYED = ("bias", "gamma", "beta", "scale", "offset", "importance", "decay_log", "skip", "embeddings")


def is_decayed(variable: keras.Variable) -> bool:
    """Whether weight decay applies: kernels, not norms, biases, embeddings or node importance."""
    name = variable.path.split("/")[-1].lower()
    return len(variable.shape) >= 2 and name not in _NEVER_DECAYED and not name.endswith("bias")


def add_weight_decay(gradients: Sequence[Any], variables: Sequence[keras.Variable], rate: float) -> list[Any]:
    """Adds `rate * variable` to the gradient of each decayed variable.

    This is the L2 form, the `weight_decay` of `torch.optim.Adam`: DARTS and BM-NAS, from which the paper's 4e-3 and
    1e-3 come, mean that one. Keras's `weight_decay` is the decoupled form, where the same number at rate 1e-3 would
    be weaker by orders of magnitude.
    """
    if not rate:
        return list(gradients)
    return [
        gradient + rate * ops.cast(variable.value, gradient.dtype)
        if gradient is not None and is_decayed(variable)
        else gradient
        for gradient, variable in zip(gradients, variables, strict=True)
    ]
