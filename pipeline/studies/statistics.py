"""What can be said of two models from a few seeds and from the rows of one test split."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.stats

from pipeline.studies.scores import predicted

CONFIDENCE = 0.95
RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Interval:
    """A difference and where it lies with a confidence of 95 percent.

    Args:
        difference: float.
        low, high: floats.
    """

    difference: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def spread(values: Sequence[float]) -> float | None:
    """Sample standard deviation; `None` of fewer than two values."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def paired_interval(values: Sequence[float], reference: Sequence[float]) -> Interval | None:
    """The mean difference of two models that were trained from the same seeds, by Student's t.

    It tells of other seeds, on the same rows: the split is one, and its own chance is `bootstrap_interval`'s.

    Args:
        values, reference: floats, seed by seed.

    Returns:
        `Interval`, or `None` for fewer than two seeds.

    Raises:
        ValueError: when the two have not the same seeds.
    """
    if len(values) != len(reference):
        raise ValueError(f"Pairs need as many values on both sides. Received: {len(values)} and {len(reference)}.")
    if len(values) < 2:
        return None
    differences = np.subtract(values, reference)
    mean = float(differences.mean())
    quantile = scipy.stats.t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)
    margin = float(quantile * differences.std(ddof=1) / np.sqrt(len(differences)))
    return Interval(mean, mean - margin, mean + margin)


def unpaired_interval(values: Sequence[float], reference: Sequence[float]) -> Interval | None:
    """The difference of two models' means whose seeds have nothing in common, by Welch's t.

    Args:
        values, reference: floats, as many as there are of each.

    Returns:
        `Interval`, or `None` where either has fewer than two values.
    """
    if min(len(values), len(reference)) < 2:
        return None
    difference = float(np.mean(values) - np.mean(reference))
    if np.ptp(values) == np.ptp(reference) == 0:  # no spread: Welch's degrees of freedom are 0 / 0
        return Interval(difference, difference, difference)
    interval = scipy.stats.ttest_ind(values, reference, equal_var=False).confidence_interval(CONFIDENCE)
    return Interval(difference, float(interval.low), float(interval.high))


def bootstrap_interval(
    labels: np.ndarray,
    probabilities: np.ndarray,
    reference: np.ndarray,
    thresholds: Sequence[float | np.ndarray] = (0.5, 0.5),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The difference in macro F1 of two trained models over test rows drawn anew, both on the same rows; percentiles.

    It tells of other rows, with the same two models.

    Args:
        labels: int array `(rows,)`, or `(rows, classes)`, multi-hot.
        probabilities, reference: float arrays `(rows, classes)`.
        thresholds: pair of floats or arrays `(classes,)`, one a model. Multi-label: probabilities above which a label
            is given. Default to `0.5`.
        resamples: int. Defaults to `2000`.
        seed: int. Defaults to `0`.

    Returns:
        `Interval` around the difference on the rows themselves.
    """
    generator = np.random.default_rng(seed)
    rows = len(labels)
    # How often each row was drawn: (resamples, rows). The first line are the rows themselves.
    drawn = np.concatenate([np.ones((1, rows)), generator.multinomial(rows, np.full(rows, 1 / rows), resamples)])
    scores, others = (
        _macro_f1(drawn, labels, one, threshold)
        for one, threshold in zip((probabilities, reference), thresholds, strict=True)
    )
    differences = scores - others
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(differences[1:], [tail, 100 - tail])
    return Interval(float(differences[0]), float(low), float(high))


def _macro_f1(
    drawn: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, threshold: float | np.ndarray
) -> np.ndarray:
    """Macro F1 with every row counted as often as it was drawn, `(resamples,)`."""
    multi_label = labels.ndim == 2
    given = predicted(probabilities, multi_label, threshold)
    if multi_label:
        truth = labels > 0.5
    else:
        classes = np.arange(probabilities.shape[1])
        truth, given = labels[:, None] == classes, given[:, None] == classes
    hits = drawn @ (truth & given)
    marks = drawn @ truth.astype(float) + drawn @ given.astype(float)
    return np.divide(2 * hits, marks, out=np.zeros_like(marks), where=marks > 0).mean(axis=1)
