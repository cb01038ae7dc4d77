import pytest

from components.evaluator.accuracy_metric import AccuracyMetric
from components.evaluator.confusion_metric import ConfusionMetric
from components.evaluator.eval_config import MOST_SLICED_CLASSES, make_eval_config
from components.evaluator.f1_metric import F1Metric
from components.evaluator.risk_coverage_metric import RiskCoverageMetric


def test_only_the_macro_f1_of_the_fused_model_is_gated():
    eval_config = make_eval_config(["a", "b"], multi_label=False, min_f1_m=0.8, change_tolerance=0.02)
    gated = [
        (list(spec.output_names), metric)
        for spec in eval_config.metrics_specs
        for metric in spec.metrics
        if metric.per_slice_thresholds or metric.HasField("threshold") or spec.thresholds
    ]
    ((outputs, metric),) = gated
    assert outputs == ["probabilities"]
    assert '"name": "f1_m"' in metric.config and '"average": "macro"' in metric.config
    (per_slice,) = metric.per_slice_thresholds
    assert [list(spec.feature_keys) for spec in per_slice.slicing_specs] == [[]]
    assert per_slice.threshold.value_threshold.lower_bound.value == 0.8
    assert per_slice.threshold.change_threshold.absolute.value == -0.02


def test_modules_and_classes_named_in_the_configuration_exist():
    named = {
        (metric.module, metric.class_name)
        for spec in make_eval_config(["a", "b"], multi_label=True).metrics_specs
        for metric in spec.metrics
        if metric.module
    }
    classes = (F1Metric, AccuracyMetric, ConfusionMetric, RiskCoverageMetric)
    assert named == {(cls.__module__, cls.__name__) for cls in classes}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_f1_m": 80.0}, r"`min_f1_m` must be in \[0, 1\]. Received: 80.0"),
        ({"change_tolerance": -0.1}, "`change_tolerance`"),
        ({"threshold": float("nan")}, "`threshold`"),
        ({"class_names": ["a"]}, "at least two different names"),
        ({"class_names": ["a", "a"]}, "at least two different names"),
    ],
)
def test_refuses_what_makes_no_gate(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_eval_config(**{"class_names": ["a", "b"], "multi_label": False, **arguments})


def test_unknown_average_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"\('macro', 'weighted'\). Received: 'micro'"):
        F1Metric(average="micro", class_names=["a", "b"])


@pytest.mark.parametrize("number", [MOST_SLICED_CLASSES, MOST_SLICED_CLASSES + 1])
def test_many_classes_have_no_slices(number):
    config = make_eval_config([f"class {index}" for index in range(number)], multi_label=False)
    slices = [list(spec.feature_keys) for spec in config.slicing_specs]
    assert slices == ([[], ["labels"]] if number <= MOST_SLICED_CLASSES else [[]])
