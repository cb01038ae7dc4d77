"""Accuracy as scikit-learn computes it, for TFMA."""

from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluator.prediction_counts import PredictionCounts, derived_metric


class AccuracyMetric(metric_types.Metric):
    """Share of the examples predicted rightly, equal to `sklearn.metrics.accuracy_score`.

    Multi-label: *subset accuracy*, the share of the examples whose every label is right. NaN when a prediction is not
    finite.

    Args:
        name: str. Of the metric. Defaults to `"accuracy"`.
        class_names: list of str, in the order of the outputs.
        multi_label: bool. Defaults to `False`.
        threshold: float. Multi-label only: a class is predicted above it. Defaults to `0.5`.
        uncertainty: str. Multi-label only: the output with the uncertainty of a belief. Defaults to `""`.
    """

    def __init__(
        self,
        name: str = "accuracy",
        class_names: tuple[str, ...] | list[str] = (),
        multi_label: bool = False,
        threshold: float = 0.5,
        uncertainty: str = "",
    ):
        super().__init__(
            metric_util.merge_per_key_computations(_accuracy_computations),
            name=name,
            class_names=list(class_names),
            multi_label=multi_label,
            threshold=threshold,
            uncertainty=uncertainty,
        )


def _accuracy_computations(
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
        _accuracy,
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


def _accuracy(counts: PredictionCounts) -> float:
    if counts.not_finite or not counts.total:
        return float("nan")
    return float(counts.exact / counts.total)
