"""Scores of predictions, scikit-learn's."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import accuracy_score, f1_score


def predicted(probabilities: np.ndarray, multi_label: bool, threshold: float | np.ndarray) -> np.ndarray:
    """Class ids `(rows,)`, or of multi-label data whether each label is given, bool `(rows, classes)`."""
    return probabilities > threshold if multi_label else probabilities.argmax(axis=1)


def scores_of(labels: np.ndarray, probabilities: np.ndarray, threshold: float | np.ndarray = 0.5) -> dict[str, float]:
    """Macro F1, weighted F1 and accuracy over a whole split (docs/method.md, section 8).

    Args:
        labels: int array `(rows,)` of class ids, or array `(rows, classes)`, multi-hot.
        probabilities: float array `(rows, classes)`.
        threshold: float or array `(classes,)`. Multi-label: probability above which a label is given. Defaults to
            `0.5`.

    Returns:
        dict: `macro_f1` and `weighted_f1`, with `zero_division=0` over all classes of the model, and `accuracy`, in
        multi-label data of whole rows.
    """
    multi_label = labels.ndim == 2
    truth = labels > 0.5 if multi_label else labels
    given = predicted(probabilities, multi_label, threshold)
    classes = np.arange(probabilities.shape[1])
    return {
        **{
            f"{average}_f1": float(f1_score(truth, given, labels=classes, average=average, zero_division=0))
            for average in ("macro", "weighted")
        },
        "accuracy": float(accuracy_score(truth, given)),
    }
