"""Macro F1 of a whole split, as scikit-learn computes it."""

from __future__ import annotations

import numpy as np


def macro_f1(labels: np.ndarray, logits: np.ndarray, threshold: float | np.ndarray = 0.5) -> float:
    """Macro F1 over all classes of the model, a class without any sample counting 0 (docs/method.md, section 8).

    Equal to `sklearn.metrics.f1_score(..., labels=range(classes), average="macro", zero_division=0)`.

    Args:
        labels: int array `(rows,)` of class ids, or array `(rows, classes)`, multi-hot.
        logits: float array `(rows, classes)`.
        threshold: float or array `(classes,)`. Multi-label: probability above which a label is given. Defaults to
            `0.5`.

    Raises:
        ValueError: when the shapes do not fit or a logit is NaN (an argmax over NaN would pass for a prediction).
    """
    labels, logits = np.asarray(labels), np.asarray(logits)
    if logits.ndim != 2 or len(labels) != len(logits) or (labels.ndim == 2 and labels.shape != logits.shape):
        raise ValueError(
            "Labels must be (rows,) class ids or (rows, classes) multi-hot, and logits (rows, classes). "
            f"Received: labels {labels.shape}, logits {logits.shape}."
        )
    if np.isnan(logits).any():
        raise ValueError(f"{int(np.isnan(logits).any(axis=1).sum())} of {len(logits)} rows have NaN among the logits.")
    classes = np.arange(logits.shape[1])
    if labels.ndim == 2:
        truth = labels > 0.5
        # sigmoid(x) > t without computing a sigmoid
        predicted = logits > np.log(threshold / (1.0 - np.asarray(threshold)))
    else:
        truth = labels[:, None] == classes
        predicted = logits.argmax(axis=1)[:, None] == classes
    true_positives = (truth & predicted).sum(axis=0)
    denominator = truth.sum(axis=0) + predicted.sum(axis=0)
    return float(np.mean(np.where(denominator > 0, 2.0 * true_positives / np.maximum(denominator, 1), 0.0)))
