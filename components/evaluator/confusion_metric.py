"""The confusion matrix as an array-valued TFMA metric."""

import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluator.prediction_counts import PredictionCounts, derived_metric


class ConfusionMetric(metric_types.Metric):
    """What was predicted for what, written as an array, so that a report need not read the test split again.

    Single-label: `(classes, classes)`, rows are the true classes, equal to `sklearn.metrics.confusion_matrix`.
    Multi-label: `(classes, 2, 2)`, equal to `sklearn.metrics.multilabel_confusion_matrix`.

    Args:
        name: str. Of the metric. Defaults to `"confusion"`.
        class_names: list of str, in the order of the outputs.
        multi_label: bool. Defaults to `False`.
        threshold: float. Multi-label only: a class is predicted above it. Defaults to `0.5`.
        uncertainty: str. Multi-label only: the output with the uncertainty of a belief. Defaults to `""`.
    """

    def __init__(
        self,
        name: str = "confusion",
        class_names: tuple[str, ...] | list[str] = (),
        multi_label: bool = False,
        threshold: float = 0.5,
        uncertainty: str = "",
    ):
        super().__init__(
            metric_util.merge_per_key_computations(_confusion_computations),
            name=name,
            class_names=list(class_names),
            multi_label=multi_label,
            threshold=threshold,
            uncertainty=uncertainty,
        )


def _confusion_computations(
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
):
    return derived_metric(
        _confusion,
        name=name,
        eval_config=eval_config,
        model_name=model_name,
        output_name=output_name,
        sub_key=sub_key,
        example_weighted=example_weighted,
        num_classes=len(class_names),
        multi_label=multi_label,
        threshold=threshold,
        uncertainty=uncertainty,
    )


def _confusion(counts: PredictionCounts) -> np.ndarray:
    return counts.confusion
