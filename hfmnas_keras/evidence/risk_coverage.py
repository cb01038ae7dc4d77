"""How well a score of doubt tells errors beforehand: risk against coverage (docs/method.md, section 1)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class RiskCoverage:
    """Decisions in the order of their doubt, the surest first, and how many of them were wrong.

    Kept are the decisions with the least doubt; the share kept is the *coverage*, the error rate among the kept the
    *risk*. Decisions of equal doubt have no order: every number here is the expectation over all orders among them.

    Args:
        doubts: float64 array `(groups,)`, rising, each value once.
        counts: int64 array `(groups,)`. Decisions of that doubt, at least one.
        errors: int64 array `(groups,)`. How many of them were wrong.

    Example:
    >>> curve = risk_coverage(doubts=[0.1, 0.2, 0.3, 0.4], errors=[0, 0, 0, 1])
    >>> curve.risk([0.25, 0.75, 1.0])
    array([0.  , 0.  , 0.25])
    >>> curve.aurc
    0.0625

    Reference:
     - [Geifman and El-Yaniv, 2017](https://arxiv.org/abs/1705.08500); AURC and its excess:
       [Geifman et al., 2019](https://arxiv.org/abs/1805.08206)
    """

    doubts: np.ndarray
    counts: np.ndarray
    errors: np.ndarray

    @property
    def num_decisions(self) -> int:
        return int(self.counts.sum())

    @property
    def error_rate(self) -> float:
        return float(self.errors.sum() / self.counts.sum())

    @property
    def aurc(self) -> float:
        """Area under the risk-coverage curve: the mean of the risks of keeping 1, 2, ... all decisions."""
        kept_before, wrong_before = (_sums_before(numbers) for numbers in (self.counts, self.errors))
        # Of a group of m decisions, E of them wrong, j are kept in expectation at the risk (W + E j / m) / (n + j).
        reciprocals = _reciprocals_between(kept_before, self.counts)
        shares = self.errors / self.counts
        areas = wrong_before * reciprocals + shares * (self.counts - kept_before * reciprocals)
        return float(areas.sum() / self.num_decisions)

    @property
    def excess_aurc(self) -> float:
        """What the area has above that of a perfect order of as many errors, in which every error comes last."""
        right, wrong = self.num_decisions - self.errors.sum(), self.errors.sum()
        best = wrong - right * _reciprocals_between(np.array([right]), np.array([wrong]))[0]
        return max(self.aurc - float(best) / self.num_decisions, 0.0)

    def risk(self, coverage: Any) -> np.ndarray:
        """Error rate among the decisions that are kept.

        Args:
            coverage: array-like in (0, 1]. Share of the decisions to keep.

        Returns:
            float64 array of the same shape.
        """
        kept = np.asarray(coverage, "float64") * self.num_decisions
        return self._errors_among(kept) / kept

    def error_by_part(self, parts: int = 4) -> np.ndarray:
        """Error rate of equal parts of the decisions, from the least doubt to the greatest; by default quarters.

        Returns:
            float64 array `(parts,)`.
        """
        bounds = np.linspace(0.0, self.num_decisions, parts + 1)
        return np.diff(self._errors_among(bounds)) / np.diff(bounds)

    def _errors_among(self, kept: np.ndarray) -> np.ndarray:
        """Expected errors among the `kept` surest decisions; a part of a group has that part of its errors."""
        bounds = np.concatenate([[0], np.cumsum(self.counts)])
        return np.interp(kept, bounds, np.concatenate([[0], np.cumsum(self.errors)]))


def risk_coverage(doubts: Any, errors: Any, counts: Any = None) -> RiskCoverage:
    """Puts decisions into the order of their doubt.

    Args:
        doubts: array-like `(decisions,)` of floats, such as a conflict. Infinity is allowed, NaN is not.
        errors: array-like `(decisions,)`: whether each was wrong, booleans or 0 and 1. With `counts` each entry stands
            for several decisions, and is how many of them were wrong.
        counts: array-like of whole numbers, at least 1, or `None` (default): 1 each.

    Returns:
        `RiskCoverage`.

    Raises:
        ValueError: when there is no decision, the lengths differ, a doubt is NaN or an error is no such number.
    """
    doubts = np.asarray(doubts, "float64").reshape(-1)
    errors = np.asarray(errors).reshape(-1)
    counts = np.ones(len(doubts), "int64") if counts is None else np.asarray(counts).reshape(-1)
    if not len(doubts) or not len(doubts) == len(errors) == len(counts):
        raise ValueError(
            "Every decision needs a doubt and an error, and there must be one at least. "
            f"Received: {len(doubts)} doubts, {len(errors)} errors and {len(counts)} counts."
        )
    if np.isnan(doubts).any():
        raise ValueError(f"Doubts must be numbers. Received: NaN in {int(np.isnan(doubts).sum())} of {len(doubts)}.")
    whole_errors, whole_counts = errors.astype("int64"), counts.astype("int64")
    if (whole_errors != errors).any() or (whole_counts != counts).any():
        raise ValueError("Errors and counts must be whole numbers: a decision is right or wrong. Threshold them first.")
    if (whole_counts < 1).any() or (whole_errors < 0).any() or (whole_errors > whole_counts).any():
        raise ValueError("Every entry needs a count of 1 or more and from 0 to as many errors.")
    groups, group_of = np.unique(doubts, return_inverse=True)
    sums = [np.zeros(len(groups), "int64") for _ in range(2)]
    for total, numbers in zip(sums, (whole_counts, whole_errors), strict=True):
        np.add.at(total, group_of.reshape(-1), numbers)
    return RiskCoverage(groups, *sums)


def decision_doubt(probabilities: Any, given: np.ndarray | None = None) -> np.ndarray:
    """One minus the probability of what was decided.

    Args:
        probabilities: array-like `(rows, classes)`.
        given: bool array of the same shape, of multi-label data alone: which labels were predicted; every label of a
            row is a decision of its own. Defaults to `None`: single-label.

    Returns:
        float64 array: `(rows,)`, one minus the largest probability; multi-label `(rows, classes)`, one minus the
        probability of the label where it is predicted, and the probability where it is not.
    """
    wide = np.asarray(probabilities).astype("float64")
    if given is not None:
        return np.where(given, 1.0 - wide, wide)
    return 1.0 - wide.max(axis=-1)


def _sums_before(numbers: np.ndarray) -> np.ndarray:
    return np.cumsum(numbers) - numbers


def _reciprocals_between(before: np.ndarray, count: np.ndarray) -> np.ndarray:
    """1 / (before + 1) + ... + 1 / (before + count), for each entry."""
    return _digamma(before + count + 1.0) - _digamma(before + 1.0)


def _digamma(x: np.ndarray) -> np.ndarray:
    """Of numbers from 1 on, by its recurrence up to 10 and its asymptotic series from there."""
    x = np.asarray(x, "float64")
    shift = np.zeros_like(x)
    for step in range(10):
        below = x + step < 10.0
        shift = shift + np.where(below, 1.0 / (x + step), 0.0)
    x = x + np.maximum(np.ceil(10.0 - x), 0.0)
    square = 1.0 / (x * x)
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return np.log(x) - 0.5 / x - series - shift
