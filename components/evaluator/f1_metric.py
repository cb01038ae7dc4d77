"""F1 as scikit-learn computes it, for TFMA."""

import functools

import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluator.prediction_counts import PredictionCounts, derived_metric

AVERAGES = ("macro", "weighted")


class F1Metric(metric_types.Metric):
    """Mean over the classes of F1, equal to `sklearn.metrics.f1_score(labels=range(classes), zero_division=0)`.

    TFMA's own `F1Score` differs: it thresholds where a single-label prediction is an argmax, and is NaN, which no
    threshold accepts, as soon as one class is neither in the labels nor in the predictions. Here such a class counts
    as 0. The metric is NaN only when a prediction is not finite: such a model must not pass the gate.

    Args:
        name: str. Of the metric. Defaults to `"f1_m"`.
        average: str. `"macro"` (default) or `"weighted"` by the true classes' sizes.
        class_names: list of str, in the order of the outputs.
        multi_label: bool. Defaults to `False`.
        threshold: float. Multi-label only: a class is predicted above it. Defaults to `0.5`.
        uncertainty: str. Multi-label only: the output with the uncertainty of a belief. Defaults to `""`.

    Reference:
     - docs/method.md, section 8
    """

    def __init__(
        self,
        name: str = "f1_m",
        average: str = "macro",
        class_names: tuple[str, ...] | list[str] = (),
        multi_label: bool = False,
        threshold: float = 0.5,
        uncertainty: str = "",
    ):
        if average not in AVERAGES:
            raise ValueError(f"`average` must be one of {AVERAGES}. Received: {average!r}.")
        super().__init__(
            metric_util.merge_per_key_computations(_f1_computations),
            name=name,
            average=average,
            class_names=list(class_names),
            multi_label=multi_label,
            threshold=threshold,
            uncertainty=uncertainty,
        )


def _f1_computations(
    name,
    average,
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
        functools.partial(_mean_f1, average=average),
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


def _mean_f1(counts: PredictionCounts, average: str) -> float:
    if counts.not_finite:
        return float("nan")
    if average == "macro":
        return float(np.mean(counts.f1))
    support = counts.actual.sum()
    return float((counts.f1 * counts.actual).sum() / support) if support else 0.0
