"""Counts of predictions against labels, from which every metric of the Evaluator is derived."""

import dataclasses
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util


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
            `True`: the classes whose value is above `threshold`.
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

    combiner = _PredictionCountsCombiner(counts_key, eval_config, num_classes, multi_label, threshold, uncertainty)
    return [
        metric_types.MetricComputation(keys=[counts_key], preprocessors=None, combiner=combiner),
        metric_types.DerivedMetricComputation(keys=[key], result=result),
    ]


class _PredictionCountsCombiner(beam.CombineFn):
    def __init__(self, key, eval_config, num_classes, multi_label, threshold, uncertainty):
        self._key = key
        self._eval_config = eval_config
        self._num_classes = num_classes
        self._multi_label = multi_label
        self._threshold = threshold
        self._uncertainty = uncertainty

    def create_accumulator(self) -> PredictionCounts:
        shape = (self._num_classes, 2, 2) if self._multi_label else (self._num_classes, self._num_classes)
        return PredictionCounts(np.zeros(shape, np.float64))

    def add_input(self, accumulator: PredictionCounts, element: Any) -> PredictionCounts:
        label, scores, weight = self._read(element, self._key.output_name)
        if self._uncertainty and self._multi_label:
            scores = scores + self._read(element, self._uncertainty)[1] / 2
        if scores.size != self._num_classes:
            raise ValueError(
                f"Output `{self._key.output_name}` must have {self._num_classes} values an example, one a class. "
                f"Received: {scores.size}."
            )
        accumulator.total += weight
        if not np.all(np.isfinite(scores)):
            accumulator.not_finite += weight
        if self._multi_label:
            truth, predicted = self._multi_hot(label), scores > self._threshold
            accumulator.confusion[np.arange(self._num_classes), truth.astype(int), predicted.astype(int)] += weight
            accumulator.exact += weight * np.array_equal(truth, predicted)
        else:
            true_class, predicted_class = self._class_index(label), int(np.argmax(scores))
            accumulator.confusion[true_class, predicted_class] += weight
            accumulator.exact += weight * (true_class == predicted_class)
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

    def _read(self, element: Any, output_name: str) -> tuple[np.ndarray, np.ndarray, float]:
        """Label and values of one output, both flat, and the weight of one example."""
        ((label, scores, weight),) = metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=output_name,
            flatten=False,
            squeeze=False,
            example_weighted=bool(self._key.example_weighted),
        )
        return np.asarray(label).reshape(-1), np.asarray(scores).reshape(-1), float(np.reshape(weight, -1)[0])

    def _multi_hot(self, label: np.ndarray) -> np.ndarray:
        if label.size != self._num_classes:
            raise ValueError(
                f"A multi-label example needs {self._num_classes} labels of 0 or 1, one for each class. "
                f"Received: {label}."
            )
        return label > 0.5

    def _class_index(self, label: np.ndarray) -> int:
        if label.size != 1 or not 0 <= label[0] < self._num_classes:
            raise ValueError(
                f"A single-label example needs one label from 0 to {self._num_classes - 1}. Received: {label}. "
                "Is its class among the classes of the data's preparation?"
            )
        return int(label[0])
