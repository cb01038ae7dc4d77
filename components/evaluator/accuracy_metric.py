"""Accuracy as scikit-learn computes it, for TFMA."""

from typing import Any

from components.evaluator.counted_metric import CountedMetric
from components.evaluator.prediction_counts import PredictionCounts


class AccuracyMetric(CountedMetric):
    """Share of the examples predicted rightly, equal to `sklearn.metrics.accuracy_score`.

    Multi-label: *subset accuracy*, the share of the examples whose every label is right. NaN when a prediction is not
    finite.

    Args:
        name: str. Of the metric. Defaults to `"accuracy"`.
        **settings: those of `CountedMetric`.
    """

    def __init__(self, name: str = "accuracy", **settings: Any):
        super().__init__(name, **settings)

    @staticmethod
    def value(counts: PredictionCounts) -> float:
        if counts.not_finite or not counts.total:
            return float("nan")
        return float(counts.exact / counts.total)
