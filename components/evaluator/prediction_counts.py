"""Counts of predictions against labels, from which every metric of the Evaluator is derived."""

import dataclasses
from typing import Any

import apache_beam as beam
import numpy as np

from components.evaluator.example_reader import ExampleReader


@dataclasses.dataclass
class PredictionCounts:
    """What was predicted for what, summed over a slice of the data.

    Args:
        confusion: float64 array. Single-label: `(classes, classes)`, rows are the true classes. Multi-label:
            `(classes, 2, 2)`, for each class `[[true negatives, false positives], [false negatives, true positives]]`.
            Both as `sklearn.metrics.confusion_matrix` and `multilabel_confusion_matrix` have it.
        exact: float. Weight of the examples whose whole set of labels was predicted.
        total: float. Weight of all examples.
        not_finite: float. Weight of the examples with a NaN or an infinity among the predictions.
    """

    confusion: np.ndarray
    exact: float = 0.0
    total: float = 0.0
    not_finite: float = 0.0

    @property
    def true_positives(self) -> np.ndarray:
        return self.confusion.diagonal() if self.confusion.ndim == 2 else self.confusion[:, 1, 1]

    @property
    def predicted(self) -> np.ndarray:
        return self.confusion.sum(axis=0) if self.confusion.ndim == 2 else self.confusion[:, :, 1].sum(axis=1)

    @property
    def actual(self) -> np.ndarray:
        return self.confusion.sum(axis=1) if self.confusion.ndim == 2 else self.confusion[:, 1, :].sum(axis=1)

    @property
    def f1(self) -> np.ndarray:
        """F1 by class; 0 where a class is neither in the labels nor predicted (`zero_division=0`)."""
        return divide_or_zero(2.0 * self.true_positives, self.predicted + self.actual)


def divide_or_zero(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator, np.float64), where=denominator > 0)


class PredictionCountsCombiner(beam.CombineFn):
    """Sums `PredictionCounts` over examples, under a key of TFMA's; the arguments are those of `CountedMetric`."""

    def __init__(self, key, reader: ExampleReader, threshold: float, uncertainty: str):
        self._key = key
        self._reader = reader
        self._threshold = threshold
        self._uncertainty = uncertainty

    def create_accumulator(self) -> PredictionCounts:
        classes = self._reader.num_classes
        return PredictionCounts(np.zeros((classes, 2, 2) if self._reader.multi_label else (classes, classes)))

    def add_input(self, accumulator: PredictionCounts, element: Any) -> PredictionCounts:
        truth, scores, weight = self._reader.read(element)
        if self._uncertainty and self._reader.multi_label:
            scores = scores + self._reader.values(element, self._uncertainty) / 2
        accumulator.total += weight
        if not np.all(np.isfinite(scores)):
            accumulator.not_finite += weight
        if self._reader.multi_label:
            predicted = self._reader.given_labels(element, scores, self._threshold)
            accumulator.confusion[np.arange(len(truth)), truth.astype(int), predicted.astype(int)] += weight
            accumulator.exact += weight * np.array_equal(truth, predicted)
        else:
            predicted_class = int(np.argmax(scores))
            accumulator.confusion[truth, predicted_class] += weight
            accumulator.exact += weight * (truth == predicted_class)
        return accumulator

    def merge_accumulators(self, accumulators) -> PredictionCounts:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.confusion += accumulator.confusion
            merged.exact += accumulator.exact
            merged.total += accumulator.total
            merged.not_finite += accumulator.not_finite
        return merged

    def extract_output(self, accumulator: PredictionCounts) -> dict:
        return {self._key: accumulator}
