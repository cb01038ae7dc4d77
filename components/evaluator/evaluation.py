"""Reads what the Evaluator wrote, for the report, the summary and the exit code."""

import json
import math
import os
from typing import Any

import numpy as np

# First, because it puts names into TFMA 0.52 that the import of TFMA alone leaves out.
import tfx.components  # noqa: F401  # isort: skip
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2
from tensorflow_model_analysis.writers import eval_config_writer
from tfx.dsl.io import fileio

from components.evaluator.comparable_baseline import read_left_out
from components.evaluator.eval_config import GATED_OUTPUT, SLICE_FEATURE
from components.evaluator.prediction_counts import PredictionCounts, divide_or_zero
from components.evaluator.reference_gate import read_references, reference_reasons
from components.evaluator.risk_coverage_metric import COVERAGES, DOUBTS, PREFIX

BLESSED_FILE = "BLESSED"
CANDIDATE = "candidate"
BASELINE = "baseline"


def is_blessed(blessing_uri: str) -> bool:
    """Whether the model behind a `ModelBlessing` artifact may serve.

    Args:
        blessing_uri: str. The artifact's folder.

    Returns:
        bool. `False` also when the Evaluator did not say anything.
    """
    return fileio.exists(os.path.join(blessing_uri, BLESSED_FILE))


def read_evaluation(folder: str) -> dict[str, Any]:
    """Returns the result of an evaluation as plain numbers, ready for JSON.

    Args:
        folder: str. The `uri` of a `ModelEvaluation` artifact, made with `make_eval_config`.

    Returns:
        Dictionary of

          - `class_names`, `multi_label`, `threshold`: what was evaluated;
          - `examples`: int;
          - `overall`: output name to `{"f1_m", "f1_w", "accuracy"}`; `probabilities` is the fused model,
            `image_belief` and its like the heads of the single modalities. Accuracy of a multi-label set is subset
            accuracy;
          - `baseline`: the same of the last blessed model, or `None`;
          - `by_class`: output name to class name to `{"f1", "precision", "recall", "support", "predicted"}`;
          - `by_slice`: class name to output name to metrics, over the examples of that class alone;
          - `confusion`: output name to nested lists: single-label `(classes, classes)`, rows are the true classes;
            multi-label `(classes, 2, 2)` of `[[tn, fp], [fn, tp]]`;
          - `risk_coverage`: `{"error_rate": float, "coverage": [float], "by": {doubt: {"aurc": float, "excess_aurc":
            float, "error_by_quarter": [float] * 4, "risk": [float]}}}` of the fused model, with `conflict`,
            `uncertainty` and `probability` (one minus that of what was decided) as doubts, see `RiskCoverageMetric`;
            quarters from the least doubt to the greatest. `None` of a model whose outputs are not finite, and of an
            evaluation made before there was such a metric;
          - `references`: `{"modalities": [str], "macro_f1": {model: float}, "dev_macro_f1": {model: float},
            "above_reference": bool}` of the linear models, see `components.linear_references`; `None` where there
            were none;
          - `gate`: `{"blessed": bool, "reasons": [str], "min_f1_m": float, "change_tolerance": float or None,
            "compared": bool, "baseline_left_out": str or None}`; a reason for each condition that failed. `compared`: a
            baseline was there. `baseline_left_out`: why the last blessed model was none.

        A metric that is not a number, because the model's outputs are not, is `None`.

    Raises:
        RuntimeError: the folder holds no evaluation of ours.
    """
    eval_config = eval_config_writer.load_eval_run(folder)[0]
    if eval_config is None:
        raise RuntimeError(f"{folder} holds no evaluation. Has the Evaluator finished?")
    settings = _settings(eval_config, folder)
    has_baseline = any(spec.is_baseline for spec in eval_config.model_specs)
    candidate_name = CANDIDATE if has_baseline else ""

    slices = {_slice_name(record): record for record in tfma.load_metrics(folder)}
    if None not in slices:
        raise RuntimeError(f"The evaluation in {folder} has no examples at all.")
    metrics = _by_output(slices[None], candidate_name)
    confusion = {output: values["confusion"] for output, values in metrics.items()}
    risk_coverage = _read_risk_coverage(metrics[GATED_OUTPUT])
    metrics = {output: _scalars(values) for output, values in metrics.items()}
    examples = metrics[GATED_OUTPUT].pop("example_count")
    baseline = _by_output(slices[None], BASELINE) if has_baseline else None
    by_slice = {name: _by_output(record, candidate_name) for name, record in slices.items() if name is not None}
    references = read_references(folder)
    gate = _read_gate(folder, eval_config, has_baseline)
    gate["reasons"] += reference_reasons(metrics[GATED_OUTPUT]["f1_m"], metrics, references)
    gate["blessed"] = not gate["reasons"]
    return {
        "class_names": settings["class_names"],
        "multi_label": settings["multi_label"],
        "threshold": settings["threshold"],
        "examples": int(examples),
        "overall": metrics,
        "baseline": baseline and {output: _scalars(values) for output, values in baseline.items()},
        "by_class": {output: _by_class(matrix, settings["class_names"]) for output, matrix in confusion.items()},
        "by_slice": {
            name: {output: _scalars(values) for output, values in by_output.items()}
            for name, by_output in sorted(by_slice.items())
        },
        "confusion": {output: matrix.tolist() for output, matrix in confusion.items()},
        "risk_coverage": risk_coverage,
        "references": references,
        "gate": gate,
    }


def _settings(eval_config: config_pb2.EvalConfig, folder: str) -> dict[str, Any]:
    for spec in eval_config.metrics_specs:
        if GATED_OUTPUT in spec.output_names:
            return json.loads(spec.metrics[0].config)
    raise RuntimeError(f"The evaluation in {folder} has no output `{GATED_OUTPUT}`. Use `make_eval_config`.")


def _slice_name(record: metrics_for_slice_pb2.MetricsForSlice) -> str | None:
    """Class name of a slice, `None` for the whole split."""
    keys = record.slice_key.single_slice_keys
    if not keys:
        return None
    (key,) = keys
    if key.column != SLICE_FEATURE:
        raise RuntimeError(f"Expected slices by `{SLICE_FEATURE}`. Received: {key.column}.")
    return key.bytes_value.decode("utf-8")


def _by_output(record: metrics_for_slice_pb2.MetricsForSlice, model_name: str) -> dict[str, dict[str, Any]]:
    metrics: dict[str, dict[str, Any]] = {}
    for item in record.metric_keys_and_values:
        if item.key.model_name == model_name and not item.key.is_diff:
            metrics.setdefault(item.key.output_name, {})[item.key.name] = _value(item.value)
    return metrics


def _value(value: metrics_for_slice_pb2.MetricValue) -> Any:
    if value.WhichOneof("type") == "array_value":
        return np.asarray(value.array_value.float64_values).reshape(tuple(value.array_value.shape))
    number = value.double_value.value
    return None if math.isnan(number) else number


def _scalars(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "confusion" and not _is_risk_coverage(name)}


def _is_risk_coverage(name: str) -> bool:
    return name.startswith(f"{PREFIX}/")


def _read_risk_coverage(values: dict[str, Any]) -> dict[str, Any] | None:
    by_doubt: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if _is_risk_coverage(name):
            if value is None or not np.isfinite(value).all():
                return None
            _, doubt, what = name.split("/")
            by_doubt.setdefault(doubt, {})[what] = value.tolist() if isinstance(value, np.ndarray) else value
    if not by_doubt:
        return None
    ordered = {doubt: by_doubt[doubt] for doubt in DOUBTS}
    # At full coverage the order says nothing.
    return {"error_rate": ordered[DOUBTS[0]]["risk"][-1], "coverage": COVERAGES.tolist(), "by": ordered}


def _by_class(confusion: np.ndarray, class_names: list[str]) -> dict[str, dict[str, float]]:
    counts = PredictionCounts(confusion)
    precision = divide_or_zero(counts.true_positives, counts.predicted)
    recall = divide_or_zero(counts.true_positives, counts.actual)
    columns = zip(counts.f1, precision, recall, counts.actual, counts.predicted, strict=True)
    names = ("f1", "precision", "recall", "support", "predicted")
    return {
        class_name: dict(zip(names, map(float, values), strict=True))
        for class_name, values in zip(class_names, columns, strict=True)
    }


def _read_gate(folder: str, eval_config: config_pb2.EvalConfig, has_baseline: bool) -> dict[str, Any]:
    result = tfma.load_validation_result(folder)
    (gate,) = [
        threshold.threshold
        for spec in eval_config.metrics_specs
        for metric in spec.metrics
        for threshold in metric.per_slice_thresholds
    ]
    reasons = [
        _reason(failure) for validation in result.metric_validations_per_slice for failure in validation.failures
    ]
    if result.missing_slices:
        reasons.append("The evaluated split has no examples.")
    if not result.validation_ok and not reasons:
        reasons.append("The evaluation did not pass TFMA's validation.")
    return {
        "reasons": reasons,
        "min_f1_m": gate.value_threshold.lower_bound.value,
        # TFMA drops the condition from the configuration of a run without a baseline.
        "change_tolerance": -gate.change_threshold.absolute.value if has_baseline else None,
        "compared": has_baseline,
        "baseline_left_out": read_left_out(folder),
    }


def _reason(failure: Any) -> str:
    value = failure.metric_value.double_value.value
    if failure.metric_threshold.HasField("change_threshold"):
        tolerance = -failure.metric_threshold.change_threshold.absolute.value
        if math.isnan(value):
            return "Macro F1 cannot be compared with the last blessed model's: one of them is not a number."
        return f"Macro F1 is {-value:.4f} below the last blessed model's; at most {tolerance:.4f} is allowed."
    bound = failure.metric_threshold.value_threshold.lower_bound.value
    if math.isnan(value):
        return "Macro F1 is not a number: the model's outputs are not finite."
    return f"Macro F1 is {value:.4f}, below the bar of {bound:.4f}."
