"""The whole gate: TFX's Evaluator on SavedModels, read back and compared with scikit-learn."""

import json
import math
import shutil

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from tfx import v1 as tfx
from tfx.components.evaluator import executor
from tfx.types import standard_component_specs
from tfx.utils import proto_utils

from components.evaluator.comparable_baseline import why_not_comparable
from components.evaluator.eval_config import make_eval_config
from components.evaluator.evaluation import is_blessed, read_evaluation
from hfmnas_keras.evidence.risk_coverage import risk_coverage
from tests.components.evaluator import fixed_predictions

CLASS_NAMES = ["animal", "food", "größe", "never seen"]
NUM_EXAMPLES = 60


def _evaluate(folder, examples_uri, model, eval_config, baseline=None):
    """Runs TFX's executor as the pipeline does; returns the folders of evaluation and blessing."""
    examples = tfx.types.standard_artifacts.Examples()
    examples.uri = str(examples_uri)
    examples.split_names = json.dumps(["test"])
    inputs = {"examples": [examples], "model": [_model_artifact(model, 1)]}
    if baseline:
        inputs["baseline_model"] = [_model_artifact(baseline, 2)]
    evaluation = tfx.types.standard_artifacts.ModelEvaluation()
    evaluation.uri = str(folder / "evaluation")
    blessing = tfx.types.standard_artifacts.ModelBlessing()
    blessing.uri = str(folder / "blessing")
    executor.Executor().Do(
        inputs,
        {"evaluation": [evaluation], "blessing": [blessing]},
        {
            standard_component_specs.EVAL_CONFIG_KEY: proto_utils.proto_to_json(eval_config),
            standard_component_specs.EXAMPLE_SPLITS_KEY: json.dumps(["test"]),
        },
    )
    return evaluation.uri, blessing.uri


def _model_artifact(path, artifact_id):
    artifact = tfx.types.standard_artifacts.Model()
    artifact.uri = str(path)
    artifact.id = artifact_id
    return artifact


def _save_model(folder, **kwargs):
    fixed_predictions.save_model(str(folder / "Format-Serving"), CLASS_NAMES, **kwargs)
    return folder


def _single_label_data(seed=0):
    """Truths, scores by output and their records. The last class is neither in the labels nor predicted."""
    generator = np.random.default_rng(seed)
    truths = generator.integers(0, 3, NUM_EXAMPLES)
    scores = {}
    for index, name in enumerate(fixed_predictions.OUTPUTS):
        values = generator.random((NUM_EXAMPLES, 4)) * [1, 1, 1, 0]
        values[np.arange(NUM_EXAMPLES), truths] += 0.6 - 0.2 * index
        scores[name] = (values / values.sum(axis=1, keepdims=True)).astype(np.float32)
    # Some conflicts are alike.
    scalars = {name: generator.random(NUM_EXAMPLES).astype(np.float32).round(1) for name in fixed_predictions.SCALARS}
    records = [
        fixed_predictions.serialize(
            int(truth),
            CLASS_NAMES,
            {name: values[row] for name, values in scores.items()},
            {name: values[row] for name, values in scalars.items()},
            False,
        )
        for row, truth in enumerate(truths)
    ]
    return truths, {"scores": scores, "scalars": scalars}, records


@pytest.fixture(scope="module")
def single_label(tmp_path_factory):
    """Data, a model, a worse one, and the evaluation of the first without a baseline."""
    folder = tmp_path_factory.mktemp("single_label")
    truths, outputs, records = _single_label_data()
    fixed_predictions.write_split(str(folder / "examples"), "test", records)
    good = _save_model(folder / "good", multi_label=False)
    worse = _save_model(folder / "worse", multi_label=False, shift=1)
    eval_config = make_eval_config(CLASS_NAMES, multi_label=False, min_f1_m=0.3)
    evaluation, blessing = _evaluate(folder / "first", folder / "examples", good, eval_config)
    return {
        "folder": folder,
        "truths": truths,
        **outputs,
        "good": good,
        "worse": worse,
        "evaluation": read_evaluation(evaluation),
        "blessing": blessing,
    }


def test_single_label_metrics_equal_scikit_learn(single_label):
    result, truths = single_label["evaluation"], single_label["truths"]
    assert result["examples"] == NUM_EXAMPLES
    for output, scores in single_label["scores"].items():
        predicted = scores.argmax(axis=1)
        arguments = {"labels": range(4), "zero_division": 0}
        expected = {
            "f1_m": sklearn.metrics.f1_score(truths, predicted, average="macro", **arguments),
            "f1_w": sklearn.metrics.f1_score(truths, predicted, average="weighted", **arguments),
            "accuracy": sklearn.metrics.accuracy_score(truths, predicted),
        }
        assert result["overall"][output] == pytest.approx(expected, abs=1e-12)
        np.testing.assert_array_equal(
            result["confusion"][output], sklearn.metrics.confusion_matrix(truths, predicted, labels=range(4))
        )
        precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(truths, predicted, **arguments)
        for index, name in enumerate(CLASS_NAMES):
            assert result["by_class"][output][name] == pytest.approx(
                {
                    "precision": precision[index],
                    "recall": recall[index],
                    "f1": f1[index],
                    "support": support[index],
                    "predicted": (predicted == index).sum(),
                },
                abs=1e-12,
            )
    heads = {result["overall"][output]["f1_m"] for output in fixed_predictions.OUTPUTS}
    assert len(heads) == 3, "the three outputs differ, so must their scores"


def test_slices_are_the_classes(single_label):
    result, truths = single_label["evaluation"], single_label["truths"]
    assert sorted(result["by_slice"]) == sorted(CLASS_NAMES[:3])
    for index, name in enumerate(CLASS_NAMES[:3]):
        predicted = single_label["scores"]["image_belief"][truths == index].argmax(axis=1)
        assert result["by_slice"][name]["image_belief"]["accuracy"] == pytest.approx(np.mean(predicted == index))
        assert result["by_slice"][name]["probabilities"]["example_count"] == (truths == index).sum()
        # The bar is 0.3, and over examples of one class alone macro F1 cannot pass 1/4: the bar holds overall only.
        assert result["by_slice"][name]["probabilities"]["f1_m"] <= 0.25


def test_good_model_is_blessed_without_a_baseline(single_label):
    assert is_blessed(single_label["blessing"])
    assert single_label["evaluation"]["gate"] == {
        "blessed": True,
        "reasons": [],
        "min_f1_m": 0.3,
        "change_tolerance": None,
        "compared": False,
        "baseline_left_out": None,
    }
    assert single_label["evaluation"]["baseline"] is None


def _check_risk_coverage(received, doubts, errors):
    """The Evaluator's against the pure function on all decisions at once."""
    assert received["error_rate"] == pytest.approx(np.mean(errors), abs=1e-12)
    assert list(received["by"]) == ["conflict", "uncertainty", "probability"]
    for name, values in doubts.items():
        curve = risk_coverage(np.ravel(values), np.ravel(errors))
        expected = {
            "aurc": curve.aurc,
            "excess_aurc": curve.excess_aurc,
            "error_by_quarter": curve.error_by_part(4),
            "risk": curve.risk(received["coverage"]),
        }
        assert set(received["by"][name]) == set(expected)
        for what, value in expected.items():
            np.testing.assert_allclose(received["by"][name][what], value, atol=1e-12, err_msg=f"{name} {what}")


def test_risk_and_coverage_equal_the_pure_function(single_label):
    scores, scalars = single_label["scores"]["probabilities"], single_label["scalars"]
    errors = scores.argmax(axis=1) != single_label["truths"]
    assert 0 < errors.sum() < NUM_EXAMPLES
    doubts = {
        "conflict": scalars["conflict"],
        "uncertainty": scalars["uncertainty"],
        "probability": 1 - scores.max(axis=1).astype(np.float64),
    }
    _check_risk_coverage(single_label["evaluation"]["risk_coverage"], doubts, errors)
    by_doubt = single_label["evaluation"]["risk_coverage"]["by"]
    assert len({record["aurc"] for record in by_doubt.values()}) == 3


def test_result_is_json(single_label):
    assert json.loads(json.dumps(single_label["evaluation"])) == single_label["evaluation"]


def test_worse_model_fails_both_conditions(single_label, tmp_path):
    eval_config = make_eval_config(CLASS_NAMES, multi_label=False, min_f1_m=0.3, change_tolerance=0.05)
    evaluation, blessing = _evaluate(
        tmp_path, single_label["folder"] / "examples", single_label["worse"], eval_config, single_label["good"]
    )
    result = read_evaluation(evaluation)
    assert not is_blessed(blessing)
    assert result["gate"]["blessed"] is False
    assert result["gate"]["compared"] is True
    assert result["gate"]["change_tolerance"] == pytest.approx(0.05)
    below_bar, below_baseline = sorted(result["gate"]["reasons"], key=lambda reason: "last blessed" in reason)
    assert "below the bar of 0.3000" in below_bar
    good_f1_m = single_label["evaluation"]["overall"]["probabilities"]["f1_m"]
    gap = good_f1_m - result["overall"]["probabilities"]["f1_m"]
    assert gap > 0.05
    assert f"{gap:.4f} below the last blessed model's; at most 0.0500" in below_baseline
    assert result["baseline"]["probabilities"]["f1_m"] == pytest.approx(good_f1_m)


def test_change_threshold_alone_holds_a_worse_model_back_and_lets_an_equal_one_pass(single_label, tmp_path):
    eval_config = make_eval_config(CLASS_NAMES, multi_label=False, slice_by_class=False)
    examples, good, worse = single_label["folder"] / "examples", single_label["good"], single_label["worse"]
    evaluation, blessing = _evaluate(tmp_path / "worse", examples, worse, eval_config, good)
    assert not is_blessed(blessing)
    (reason,) = read_evaluation(evaluation)["gate"]["reasons"]
    assert "last blessed" in reason
    for candidate, baseline in ((good, good), (good, worse)):
        folder = tmp_path / f"good_against_{baseline.name}"
        evaluation, blessing = _evaluate(folder, examples, candidate, eval_config, baseline)
        assert is_blessed(blessing)
        result = read_evaluation(evaluation)
        assert result["gate"]["reasons"] == []
        assert result["by_slice"] == {}


def _remove(folder):
    shutil.rmtree(folder / "Format-Serving")


def _damage(folder):
    (folder / "Format-Serving" / "saved_model.pb").write_bytes(b"cut")


@pytest.mark.parametrize(
    ("class_names", "fault", "reason"),
    [
        ([*CLASS_NAMES, "added"], None, "other classes, with 'added'"),
        (CLASS_NAMES[:-1], None, "other classes, without 'never seen'"),
        ([*CLASS_NAMES[:-1], "renamed"], None, "other classes, without 'never seen' and with 'renamed'"),
        (CLASS_NAMES[::-1], None, "classes in another order"),
        (CLASS_NAMES, _remove, "does not answer"),
        (CLASS_NAMES, _damage, "does not answer"),
        (CLASS_NAMES, None, None),
    ],
)
def test_a_model_that_cannot_be_compared_is_no_baseline(single_label, tmp_path, class_names, fault, reason):
    baseline = tmp_path / "baseline"
    fixed_predictions.save_model(str(baseline / "Format-Serving"), class_names, False, any_number=True)
    if fault is not None:
        fault(baseline)
    (split,) = (single_label["folder"] / "examples").glob("Split-test/*")
    example = next(tf.data.TFRecordDataset(str(split), "GZIP").as_numpy_iterator())
    said = why_not_comparable(
        str(baseline / "Format-Serving"), make_eval_config(CLASS_NAMES, multi_label=False), example
    )
    assert said is None if reason is None else reason in said


def test_model_with_nan_outputs_is_never_blessed(single_label, tmp_path):
    model = _save_model(tmp_path / "nan", multi_label=False, scale=math.nan)
    eval_config = make_eval_config(CLASS_NAMES, multi_label=False, min_f1_m=0.0)
    evaluation, blessing = _evaluate(tmp_path, single_label["folder"] / "examples", model, eval_config)
    result = read_evaluation(evaluation)
    assert not is_blessed(blessing)
    assert result["gate"]["reasons"] == ["Macro F1 is not a number: the model's outputs are not finite."]
    assert result["overall"]["probabilities"]["f1_m"] is None
    assert result["risk_coverage"] is None
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(("threshold", "own_thresholds"), [(0.5, None), (0.3, None), (0.3, [0.7, 0.4, 0.8, 0.5])])
def test_multi_label_metrics_equal_scikit_learn(tmp_path, threshold, own_thresholds):
    generator = np.random.default_rng(1)
    # The last class is dead; some examples have no label at all.
    truths = ((generator.random((NUM_EXAMPLES, 4)) < 0.3) * [1, 1, 1, 0]).astype(np.float32)
    probabilities = np.clip(0.5 * truths + 0.6 * generator.random((NUM_EXAMPLES, 4)), 0, 1) * [1, 1, 1, 0]
    probabilities = probabilities.astype(np.float32)
    # On the bar exactly is not above it.
    probabilities[0] = threshold
    scores, scalars, projected = {"probabilities": probabilities}, {}, {"probabilities": probabilities}
    for name in ("conflict", "uncertainty"):
        scalars[name] = generator.random((NUM_EXAMPLES, 4)).astype(np.float32)
    for modality in ("image", "text"):
        evidence_for, evidence_against = generator.gamma(1.0, 2.0, (2, NUM_EXAMPLES, 4))
        total = evidence_for + evidence_against + 2
        scores[f"{modality}_belief"] = (evidence_for / total).astype(np.float32)
        scalars[f"{modality}_uncertainty"] = (2 / total).astype(np.float32)
        projected[f"{modality}_belief"] = (evidence_for + 1) / total
    records = [
        fixed_predictions.serialize(
            truths[row],
            CLASS_NAMES,
            {name: values[row] for name, values in scores.items()},
            {name: values[row] for name, values in scalars.items()},
            True,
        )
        for row in range(NUM_EXAMPLES)
    ]
    fixed_predictions.write_split(str(tmp_path / "examples"), "test", records)
    # One head names its labels, the other does not.
    head_thresholds = None if own_thresholds is None else {"text": [0.2, 0.5, 0.6, 0.4]}
    model = _save_model(
        tmp_path / "model", multi_label=True, thresholds=own_thresholds, head_thresholds=head_thresholds
    )
    eval_config = make_eval_config(CLASS_NAMES, multi_label=True, threshold=threshold, min_f1_m=0.2)
    fused_threshold = threshold if own_thresholds is None else np.array(own_thresholds, np.float32)
    text_threshold = threshold if own_thresholds is None else np.array(head_thresholds["text"], np.float32)
    bounds = {"probabilities": fused_threshold, "text_belief": text_threshold, "image_belief": threshold}
    evaluation, blessing = _evaluate(tmp_path, tmp_path / "examples", model, eval_config)
    result = read_evaluation(evaluation)
    assert is_blessed(blessing)
    assert result["multi_label"] is True
    for output, values in projected.items():
        predicted = values > bounds[output]
        if output != "probabilities" and threshold == 0.5:
            name = output.split("_")[0]
            belief_against = 1 - scores[output].astype(np.float64) - scalars[f"{name}_uncertainty"]
            np.testing.assert_array_equal(predicted, scores[output] > belief_against)
        arguments = {"average": "macro", "zero_division": 0}
        expected = {
            "f1_m": sklearn.metrics.f1_score(truths, predicted, **arguments),
            "f1_w": sklearn.metrics.f1_score(truths, predicted, **{**arguments, "average": "weighted"}),
            "accuracy": sklearn.metrics.accuracy_score(truths, predicted),
        }
        assert result["overall"][output] == pytest.approx(expected, abs=1e-12)
        np.testing.assert_array_equal(
            result["confusion"][output], sklearn.metrics.multilabel_confusion_matrix(truths, predicted)
        )
    assert sorted(result["by_slice"]) == sorted(CLASS_NAMES[:3])
    assert result["by_slice"]["food"]["probabilities"]["example_count"] == truths[:, 1].sum()
    # Every label is a decision by itself.
    predicted, wide = probabilities > fused_threshold, probabilities.astype(np.float64)
    scalars["probability"] = np.where(predicted, 1 - wide, wide)
    doubts = {name: scalars[name] for name in ("conflict", "uncertainty", "probability")}
    _check_risk_coverage(result["risk_coverage"], doubts, predicted != truths)


def test_read_evaluation_names_the_empty_folder(tmp_path):
    with pytest.raises(RuntimeError, match="holds no evaluation"):
        read_evaluation(str(tmp_path))
    assert is_blessed(str(tmp_path)) is False
