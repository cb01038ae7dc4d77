"""What every metric shares that follows from counts of predictions against labels, for TFMA."""

import functools
from collections.abc import Sequence
from typing import Any

from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluator.example_reader import ExampleReader
from components.evaluator.prediction_counts import PredictionCounts, PredictionCountsCombiner


class CountedMetric(metric_types.Metric):
    """Base of the metrics that are a function of `PredictionCounts`, which are made once for all of them.

    A subclass states `value`.

    Args:
        name: str. Of the metric.
        class_names: sequence of str, in the order of the outputs.
        multi_label: bool. `False` (default): the prediction is the class of the largest value (the first one of
            equals). `True`: the labels that the model names, or the classes whose value is above `threshold`, see
            `ExampleReader.given_labels`.
        threshold: float. Defaults to `0.5`.
        uncertainty: str. Name of the output with the uncertainty that belongs to a multi-label belief, or `""`
            (default). The value is then the opinion's projected probability, belief + uncertainty/2: above one half
            exactly when the belief in the label is greater than the belief in its absence (docs/method.md, section 1).
        **arguments: further ones of `value`.
    """

    def __init__(
        self,
        name: str,
        class_names: Sequence[str] = (),
        multi_label: bool = False,
        threshold: float = 0.5,
        uncertainty: str = "",
        **arguments: Any,
    ):
        super().__init__(
            metric_util.merge_per_key_computations(self._computations),
            name=name,
            class_names=list(class_names),
            multi_label=multi_label,
            threshold=threshold,
            uncertainty=uncertainty,
            **arguments,
        )

    @staticmethod
    def value(counts: PredictionCounts, *_: Any, **arguments: Any) -> Any:
        """The metric's value, a float or an array."""
        raise NotImplementedError("A counted metric must state `value(counts)`.")

    def _computations(
        self,
        name,
        class_names,
        multi_label,
        threshold,
        uncertainty,
        eval_config=None,
        model_name="",
        output_name="",
        sub_key=None,
        example_weighted=False,
        **arguments,
    ):
        if sub_key is not None:
            raise ValueError(f"Metric `{name}` counts whole predictions and cannot be binarized. Received: {sub_key}.")
        make_key = functools.partial(
            metric_types.MetricKey, model_name=model_name, output_name=output_name, example_weighted=example_weighted
        )
        key = make_key(name=name)
        # The leading underscore keeps it out of the written results.
        counts_key = make_key(name=f"_prediction_counts_{len(class_names)}_{multi_label}_{threshold}_{uncertainty}")
        value_of = functools.partial(type(self).value, **arguments)

        def result(metrics: dict) -> dict:
            return {key: value_of(metrics[counts_key])}

        reader = ExampleReader(eval_config, model_name, output_name, example_weighted, len(class_names), multi_label)
        combiner = PredictionCountsCombiner(counts_key, reader, threshold, uncertainty)
        return [
            metric_types.MetricComputation(keys=[counts_key], preprocessors=None, combiner=combiner),
            metric_types.DerivedMetricComputation(keys=[key], result=result),
        ]
