"""Macro average precision: how well a model ranks, whatever the threshold."""

from __future__ import annotations

import numpy as np


def macro_average_precision(labels: np.ndarray, logits: np.ndarray) -> float:
    """Mean over classes of the average precision; a class without any row in `labels` is left out.

    Equal to the mean of `sklearn.metrics.average_precision_score` over these classes. It depends on no threshold, so
    it does not reward a model for probabilities that lie around one.

    Args:
        labels: int array `(rows,)` of class ids, or array `(rows, classes)`, multi-hot.
        logits: float array `(rows, classes)`. Single-label: rows are compared by their softmax.

    Raises:
        ValueError: when the shapes do not fit or a logit is NaN.
    """
    labels, logits = np.asarray(labels), np.asarray(logits, "float64")
    if logits.ndim != 2 or len(labels) != len(logits) or (labels.ndim == 2 and labels.shape != logits.shape):
        raise ValueError(
            "Labels must be (rows,) class ids or (rows, classes) multi-hot, and logits (rows, classes). "
            f"Received: labels {labels.shape}, logits {logits.shape}."
        )
    if np.isnan(logits).any():
        raise ValueError(f"{int(np.isnan(logits).any(axis=1).sum())} of {len(logits)} rows have NaN among the logits.")
    scores = logits
    if labels.ndim == 2:
        truth = labels > 0.5
    else:
        truth = labels[:, None] == np.arange(logits.shape[1])
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponentials / exponentials.sum(axis=1, keepdims=True)
    present = np.flatnonzero(truth.any(axis=0))
    if not len(present):
        return 0.0
    return float(np.mean([_average_precision(truth[:, column], scores[:, column]) for column in present]))


def _average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    truth, scores = truth[order], scores[order]
    # Rows of equal scores come in together.
    ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    found = np.cumsum(truth)[ends]
    precision = found / (ends + 1.0)
    return float(np.sum(np.diff(found, prepend=0) * precision) / found[-1])
