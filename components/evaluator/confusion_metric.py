"""The confusion matrix as an array-valued TFMA metric."""

from typing import Any

import numpy as np

from components.evaluator.counted_metric import CountedMetric
from components.evaluator.prediction_counts import PredictionCounts


class ConfusionMetric(CountedMetric):
    """What was predicted for what, written as an array, so that a report need not read the test split again.

    Single-label: `(classes, classes)`, rows are the true classes, equal to `sklearn.metrics.confusion_matrix`.
    Multi-label: `(classes, 2, 2)`, equal to `sklearn.metrics.multilabel_confusion_matrix`.

    Args:
        name: str. Of the metric. Defaults to `"confusion"`.
        **settings: those of `CountedMetric`.
    """

    def __init__(self, name: str = "confusion", **settings: Any):
        super().__init__(name, **settings)

    @staticmethod
    def value(counts: PredictionCounts) -> np.ndarray:
        return counts.confusion
