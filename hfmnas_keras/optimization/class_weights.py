"""Weights of classes in the task loss, so that rare ones count."""

from __future__ import annotations

import numpy as np


def class_weights(labels: np.ndarray, num_classes: int, kind: str) -> np.ndarray | None:
    """What `task_loss` multiplies the loss of each class by; their mean over the rows is one.

    Args:
        labels: int array `(rows,)` of class ids, or array `(rows, classes)`, multi-hot; of the rows trained on.
        num_classes: int.
        kind: str. `"none"`; `"balanced"`, scikit-learn's: each class, or of a multi-label set its yes and its no,
            counts as much as the other; `"sqrt"`: the square roots of these, half way.

    Returns:
        `None` for `"none"`, else a float32 array: `(classes,)`, or multi-label `(2, classes)`, of no and of yes. A
        class that no row has weighs as one that a single row has.

    Example:
    >>> class_weights(np.array([0, 0, 0, 1]), 2, "balanced").round(2).tolist()
    [0.67, 2.0]
    """
    if kind == "none":
        return None
    labels = np.asarray(labels)
    if labels.ndim == 2:
        yes = (labels > 0.5).sum(axis=0)
        counts = np.stack([len(labels) - yes, yes])
    else:
        counts = np.bincount(labels, minlength=num_classes)
    weights = len(labels) / (len(counts) * np.maximum(counts, 1.0))
    if kind == "sqrt":
        weights = np.sqrt(weights)
    # A mean of one: neither rate nor decay needs to know of the weights.
    weights = weights * counts.sum(axis=0) / (weights * counts).sum(axis=0)
    return weights.astype("float32")
