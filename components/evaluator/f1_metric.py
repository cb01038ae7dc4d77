"""F1 as scikit-learn computes it, for TFMA."""

from typing import Any

import numpy as np

from components.evaluator.counted_metric import CountedMetric
from components.evaluator.prediction_counts import PredictionCounts

AVERAGES = ("macro", "weighted")


class F1Metric(CountedMetric):
    """Mean over the classes of F1, equal to `sklearn.metrics.f1_score(labels=range(classes), zero_division=0)`.

    TFMA's own `F1Score` differs: it thresholds where a single-label prediction is an argmax, and is NaN, which no
    threshold accepts, as soon as one class is neither in the labels nor in the predictions. Here such a class counts
    as 0. The metric is NaN only when a prediction is not finite: such a model must not pass the gate.

    Args:
        name: str. Of the metric. Defaults to `"f1_m"`.
        average: str. `"macro"` (default) or `"weighted"` by the true classes' sizes.
        **settings: those of `CountedMetric`.

    Reference:
     - docs/method.md, section 8
    """

    def __init__(self, name: str = "f1_m", average: str = "macro", **settings: Any):
        if average not in AVERAGES:
            raise ValueError(f"`average` must be one of {AVERAGES}. Received: {average!r}.")
        super().__init__(name, average=average, **settings)

    @staticmethod
    def value(counts: PredictionCounts, average: str) -> float:
        if counts.not_finite:
            return float("nan")
        if average == "macro":
            return float(np.mean(counts.f1))
        support = counts.actual.sum()
        return float((counts.f1 * counts.actual).sum() / support) if support else 0.0
