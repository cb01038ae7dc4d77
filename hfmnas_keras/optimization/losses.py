"""The losses that search and final training share."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def own_losses(model: keras.Model, scope: keras.StatelessScope | None = None) -> list[Any]:
    """What a model lost beside the task in the call just made: by `add_loss`, and by its weights' regularizers.

    Args:
        model: `keras.Model`.
        scope: the scope of that call, which collects what is added, and no regularizer's loss; `None` without one.
    """
    if scope is None:
        return model.losses
    regularized = [variable for variable in model.trainable_variables if variable.regularizer is not None]
    return [*scope.losses, *(variable.regularizer(variable) for variable in regularized)]


def task_loss(labels: Any, logits: Any, label_smoothing: float = 0.0, class_weights: Any = None) -> Any:
    """Mean cross-entropy of a batch (docs/method.md, section 6).

    Single-label: softmax cross-entropy, mean over rows. Multi-label: sigmoid cross-entropy, mean over rows and
    classes. Which of the two follows from the rank of the labels, as in `FeatureSet`.

    Args:
        labels: integer tensor `(batch,)` of class ids, or float tensor `(batch, classes)`, multi-hot.
        logits: tensor `(batch, classes)`.
        label_smoothing: float in [0, 1). Share of each target that is spread evenly. Defaults to `0`.
        class_weights: array or tensor of `hfmnas_keras.optimization.class_weights`, by the true class. Defaults to
            `None`.

    Returns:
        Scalar float32 tensor.
    """
    # float32 or wider: a half-precision log-sum-exp loses the small probabilities that the gradient is made of.
    dtype = "float64" if keras.backend.standardize_dtype(logits.dtype) == "float64" else "float32"
    logits = ops.cast(logits, dtype)
    num_classes = logits.shape[-1]
    if len(labels.shape) == 2:
        truth = targets = ops.cast(labels, dtype)
        if label_smoothing:
            targets = targets * (1.0 - label_smoothing) + 0.5 * label_smoothing
        # Its logits' own form: the mean of Keras's `binary_crossentropy` over classes cannot be weighed.
        losses = ops.softplus(logits) - targets * logits
        if class_weights is not None:
            of_no, of_yes = ops.cast(class_weights[0], dtype), ops.cast(class_weights[1], dtype)
            losses = losses * ops.where(truth > 0.5, of_yes, of_no)
        return ops.mean(losses)
    if label_smoothing:
        targets = ops.one_hot(labels, num_classes, dtype=dtype)
        targets = targets * (1.0 - label_smoothing) + label_smoothing / num_classes
        losses = ops.categorical_crossentropy(targets, logits, from_logits=True)
    else:
        losses = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    if class_weights is not None:
        losses = losses * ops.take(ops.cast(class_weights, dtype), labels)
    return ops.mean(losses)
