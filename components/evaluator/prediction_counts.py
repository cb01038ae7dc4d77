"""Counts of predictions against labels, from which every metric of the Evaluator is derived."""

import dataclasses
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types

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


def derived_metric(
    value_of: Callable[[PredictionCounts], Any],
    name: str,
    eval_config: Any,
    model_name: str,
    output_name: str,
    sub_key: Any,
    example_weighted: bool,
    num_classes: int,
    multi_label: bool,
    threshold: float,
    uncertainty: str,
) -> list:
    """The TFMA computations of a metric that is a function of the counts; the counts are made once for all of them.

    Args:
        value_of: callable. Maps `PredictionCounts` to the metric's value, a float or an array.
        name: str. Of the metric.
        eval_config, model_name, output_name, sub_key, example_weighted: as TFMA passes them.
        num_classes: int.
        multi_label: bool. `False`: the prediction is the class of the largest value (the first one of equals).
            `True`: the labels that the model names, or the classes whose value is above `threshold`, see
            `ExampleReader.given_labels`.
        threshold: float.
        uncertainty: str. Name of the output with the uncertainty that belongs to a multi-label belief, or "". The value
            is then the opinion's projected probability, belief + uncertainty/2: above one half exactly when the
            belief in the label is greater than the belief in its absence (docs/method.md, section 1).

    Returns:
        List of a `MetricComputation` and a `DerivedMetricComputation`.
    """
    if sub_key is not None:
        raise ValueError(f"Metric `{name}` counts whole predictions and cannot be binarized. Received: {sub_key}.")
    key = metric_types.MetricKey(
        name=name, model_name=model_name, output_name=output_name, example_weighted=example_weighted
    )
    # The leading underscore keeps it out of the written results.
    counts_key = metric_types.MetricKey(
        name=f"_prediction_counts_{num_classes}_{multi_label}_{threshold}_{uncertainty}",
        model_name=model_name,
        output_name=output_name,
        example_weighted=example_weighted,
    )

    def result(metrics: dict) -> dict:
        return {key: value_of(metrics[counts_key])}

    reader = ExampleReader(eval_config, model_name, output_name, example_weighted, num_classes, multi_label)
    combiner = _PredictionCountsCombiner(counts_key, reader, threshold, uncertainty)
    return [
        metric_types.MetricComputation(keys=[counts_key], preprocessors=None, combiner=combiner),
        metric_types.DerivedMetricComputation(keys=[key], result=result),
    ]


class _PredictionCountsCombiner(beam.CombineFn):
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
