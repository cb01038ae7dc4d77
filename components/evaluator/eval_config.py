"""What the Evaluator measures and what a model must reach to be blessed."""

import json
from collections.abc import Sequence

# Not from `tensorflow_model_analysis` itself: TFMA 0.52 has these names there only after `tfx` was imported.
from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.example_reader import GATED_OUTPUT

GATED_METRIC = "f1_m"
SLICE_FEATURE = "labels"
#: A slice of each class has a count of every pair of classes: memory grows with the cube of their number.
MOST_SLICED_CLASSES = 50


def make_eval_config(
    class_names: Sequence[str],
    multi_label: bool,
    modalities: Sequence[str] = ("text", "image"),
    threshold: float = 0.5,
    min_f1_m: float = 0.0,
    change_tolerance: float = 0.0,
    slice_by_class: bool = True,
) -> config_pb2.EvalConfig:
    """Returns the Evaluator's configuration.

    Macro F1 (`f1_m`), weighted F1 (`f1_w`), accuracy and the confusion matrix of the fused `probabilities` and of each
    modality's own belief; and how well conflict, uncertainty and probability tell the errors of `probabilities`. The
    gate looks at one number alone, the macro F1 of `probabilities` over the whole split: it
    must reach `min_f1_m`, and fall behind the last blessed model's by at most `change_tolerance`. TFMA ignores the
    second condition while nothing was blessed yet.

    Args:
        class_names: sequence of str, in the order of the model's outputs.
        multi_label: bool. Whether an example may have several classes, or none.
        modalities: sequence of str. Those whose heads are measured too. Defaults to `("text", "image")`.
        threshold: float. Multi-label only: a class is predicted above it, by a model that does not name its `labels`,
            and those of its heads, itself. Defaults to `0.5`.
        min_f1_m: float in [0, 1]. Defaults to `0.0`.
        change_tolerance: float in [0, 1]. Defaults to `0.0`, "not worse".
        slice_by_class: bool. Also measure the examples of each class by themselves. Defaults to `True`.

    Returns:
        `EvalConfig` for `tfx.v1.components.Evaluator` and `tfma.run_model_analysis`.

    Raises:
        ValueError: a threshold or tolerance outside of its range, or fewer than two classes.

    Reference:
     - docs/method.md, section 8
    """
    if len(class_names) < 2 or len(set(class_names)) != len(class_names):
        raise ValueError(f"`class_names` must be at least two different names. Received: {list(class_names)}.")
    for name, value in (("threshold", threshold), ("min_f1_m", min_f1_m), ("change_tolerance", change_tolerance)):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"`{name}` must be in [0, 1]. Received: {value}.")

    settings = {"class_names": list(class_names), "multi_label": bool(multi_label), "threshold": threshold}
    metrics_specs = [
        config_pb2.MetricsSpec(
            output_names=[GATED_OUTPUT],
            metrics=[
                *_metrics(settings, gate=_gate(min_f1_m, change_tolerance)),
                _metric("risk_coverage_metric", "RiskCoverageMetric", settings),
                _example_count(),
            ],
        )
    ]
    for modality in modalities:
        metrics = _metrics({**settings, "uncertainty": f"{modality}_uncertainty" if multi_label else ""})
        metrics_specs.append(config_pb2.MetricsSpec(output_names=[f"{modality}_belief"], metrics=metrics))

    slicing_specs = [config_pb2.SlicingSpec()]
    if slice_by_class and len(class_names) <= MOST_SLICED_CLASSES:
        slicing_specs.append(config_pb2.SlicingSpec(feature_keys=[SLICE_FEATURE]))
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                signature_name="serving_default",
                preprocessing_function_names=["transform_features"],
                label_key="label",
            )
        ],
        metrics_specs=metrics_specs,
        slicing_specs=slicing_specs,
    )


def _metrics(settings: dict, gate: config_pb2.PerSliceMetricThreshold | None = None) -> list[config_pb2.MetricConfig]:
    macro_f1 = _metric("f1_metric", "F1Metric", {**settings, "name": GATED_METRIC, "average": "macro"})
    if gate is not None:
        macro_f1.per_slice_thresholds.append(gate)
    return [
        macro_f1,
        _metric("f1_metric", "F1Metric", {**settings, "name": "f1_w", "average": "weighted"}),
        _metric("accuracy_metric", "AccuracyMetric", settings),
        _metric("confusion_metric", "ConfusionMetric", settings),
    ]


def _metric(module: str, class_name: str, settings: dict) -> config_pb2.MetricConfig:
    return config_pb2.MetricConfig(
        class_name=class_name, module=f"components.evaluator.{module}", config=json.dumps(settings)
    )


def _example_count() -> config_pb2.MetricConfig:
    return config_pb2.MetricConfig(class_name="ExampleCount")


def _gate(min_f1_m: float, change_tolerance: float) -> config_pb2.PerSliceMetricThreshold:
    # A plain `threshold` would hold for every slice, and the slice of a hard class may well lie below it.
    return config_pb2.PerSliceMetricThreshold(
        slicing_specs=[config_pb2.SlicingSpec()],
        threshold=config_pb2.MetricThreshold(
            value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": min_f1_m}),
            change_threshold=config_pb2.GenericChangeThreshold(
                direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -change_tolerance}
            ),
        ),
    )
