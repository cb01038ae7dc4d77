"""Which epoch of a training is kept, by its scores on dev (docs/method.md, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hfmnas_keras.evidence.thresholds import choose_thresholds
from hfmnas_keras.optimization.average_precision import macro_average_precision
from hfmnas_keras.optimization.f1_score import macro_f1
from hfmnas_keras.optimization.losses import task_loss


def dev_scores(
    labels: np.ndarray, logits: np.ndarray, threshold: str = "per_class", fixed_threshold: float = 0.5
) -> dict[str, Any]:
    """What is recorded of an epoch.

    Args:
        labels: int array `(rows,)` of class ids, or array `(rows, classes)`, multi-hot.
        logits: float array `(rows, classes)`.
        threshold, fixed_threshold: `kind` and `fixed` of `choose_thresholds`, for multi-label data.

    Returns:
        dict: `dev_loss`, `dev_average_precision`, `dev_macro_f1` and, of multi-label data, the `thresholds` at which
        that is, a list. Chosen on the same rows, they make it a little better than it will be on others.
    """
    scores: dict[str, Any] = {
        "dev_loss": float(keras.ops.convert_to_numpy(task_loss(tf.constant(labels), tf.constant(logits)))),
        "dev_average_precision": macro_average_precision(labels, logits),
    }
    if np.ndim(labels) == 1:
        return {**scores, "dev_macro_f1": macro_f1(labels, logits)}
    thresholds = choose_thresholds(labels, logits, threshold, fixed_threshold)
    return {**scores, "dev_macro_f1": macro_f1(labels, logits, thresholds), "thresholds": thresholds.tolist()}


def best_epoch(average_precisions: Sequence[float], losses: Sequence[float]) -> int:
    """The epoch, from 0, of the best average precision and, of equal ones, the lowest loss, each with its neighbours.

    Average precision depends on no threshold: macro F1 at .5 prefers, on sparse labels, the overfitted epochs whose
    probabilities have moved past .5, and the loss the early ones (docs/results.md). A single early epoch is often the
    best by luck, so each counts as the mean with the one before and the one after.

    Args:
        average_precisions, losses: floats on dev, one an epoch.

    Example:
    >>> best_epoch([0.1, 0.9, 0.2, 0.7, 0.7], [1.0] * 5)
    4
    """
    scores, costs = (_with_neighbours(values) for values in (average_precisions, losses))
    return max(range(len(scores)), key=lambda epoch: (scores[epoch], -costs[epoch]))


def _with_neighbours(values: Sequence[float]) -> list[float]:
    return [float(np.mean(values[max(0, epoch - 1) : epoch + 2])) for epoch in range(len(values))]
