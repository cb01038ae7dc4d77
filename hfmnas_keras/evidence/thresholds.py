"""From what probability on a label is given, chosen on rows that the model was not fitted on (method, section 8)."""

from __future__ import annotations

import numpy as np

from hfmnas_keras.settings.checks import require
from hfmnas_keras.settings.training import THRESHOLDS

# Candidates for a threshold, at most: as many quantiles of the logits say as much.
_MOST_CANDIDATES = 512
# Rows of a class that weigh as much as all classes together in the class's own threshold.
_ROWS_OF_COMMON = 20.0
# Farthest a threshold lies from one half, in logits: beyond it a probability of 32 bits is 0 or 1.
_FARTHEST = 15.0
# Subsets of the rows, each without a part of them, over which a choice is averaged.
_SUBSETS = 10


def choose_thresholds(labels: np.ndarray, logits: np.ndarray, kind: str, fixed: float = 0.5) -> np.ndarray:
    """One threshold for each label of a multi-label set, for the best macro F1.

    The best threshold of few rows jumps from one gap between two rows to the next. So each choice is the mean, in
    logits, of those on ten subsets that leave out a tenth of the rows each.

    Args:
        labels: array `(rows, classes)`, multi-hot, of rows that the model was not fitted on.
        logits: float array `(rows, classes)`.
        kind: str. `"fixed"`: `fixed` for all. `"dev"`: one for all labels, that of the best macro F1. `"per_class"`:
            for each label that of its own best F1, drawn in logits towards the common one: of n rows with the label
            the own one weighs n / (n + 20).
        fixed: float in (0, 1). Defaults to `0.5`.

    Returns:
        float64 array `(classes,)` of probabilities above which a label is given, none nearer to 0 or 1 than 3e-7.

    Raises:
        ValueError: for an unknown kind, or labels and logits that do not fit.

    Example:
    >>> labels = np.array([[1, 0], [1, 1], [0, 0]])
    >>> logits = np.array([[-1.0, -4.0], [-1.0, -1.0], [-3.0, -3.0]])
    >>> choose_thresholds(labels, logits, "dev").round(3).tolist()
    [0.119, 0.119]
    """
    require(kind in THRESHOLDS, "kind", kind, f"one of {THRESHOLDS}")
    labels, logits = np.asarray(labels) > 0.5, np.asarray(logits, "float64")
    if labels.ndim != 2 or labels.shape != logits.shape or not len(labels):
        raise ValueError(
            f"Labels and logits must both be (rows, classes). Received: labels {labels.shape}, logits {logits.shape}."
        )
    if kind == "fixed":
        return np.full(labels.shape[1], float(fixed))
    common = _averaged(labels, logits)
    chosen = np.full(labels.shape[1], common)
    if kind == "per_class":
        rows = labels.sum(axis=0)
        own = np.array([_averaged(labels[:, [k]], logits[:, [k]]) if rows[k] else common for k in range(len(rows))])
        share = rows / (rows + _ROWS_OF_COMMON)
        chosen = common + share * (own - common)
    return 1.0 / (1.0 + np.exp(-np.clip(chosen, -_FARTHEST, _FARTHEST)))


def given_labels(logits: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Whether each label is given, bool `(rows, classes)`."""
    return np.asarray(logits) > np.log(thresholds / (1.0 - np.asarray(thresholds)))


def _averaged(labels: np.ndarray, logits: np.ndarray) -> float:
    """The best threshold, in logits, as the mean over subsets of the rows."""
    part = np.arange(len(labels)) % _SUBSETS
    subsets = [part != left_out for left_out in range(min(_SUBSETS, len(labels)))] if len(labels) > 1 else [part == 0]
    return float(np.mean([_best_threshold(labels[rows], logits[rows]) for rows in subsets]))


def _best_threshold(labels: np.ndarray, logits: np.ndarray) -> float:
    """The logit for which macro F1 is best, half way between two rows; of several equally good ones the middle."""
    values = np.unique(logits)
    if len(values) > _MOST_CANDIDATES:
        values = np.unique(np.quantile(values, np.linspace(0, 1, _MOST_CANDIDATES)))
    # All labels given, all gaps between two values, none.
    candidates = np.concatenate([values[:1] - 1.0, (values[1:] + values[:-1]) / 2, values[-1:] + 1.0])
    true_positives = np.stack([_count_above(logits[:, k][labels[:, k]], candidates) for k in range(labels.shape[1])])
    given = np.stack([_count_above(logits[:, k], candidates) for k in range(labels.shape[1])])
    marks = given + labels.sum(axis=0)[:, None]
    scores = np.where(marks > 0, 2.0 * true_positives / np.maximum(marks, 1), 0.0).mean(axis=0)
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    return float(candidates[best[len(best) // 2]])


def _count_above(values: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    return len(values) - np.searchsorted(np.sort(values), candidates, side="right")
