"""A fused model that a linear one, or its own head, outdoes is not blessed."""

import json
import os

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from tfx import v1 as tfx
from tfx.utils import proto_utils

from components import LinearReferences as LinearReferencesArtifact
from components.evaluator.eval_config import make_eval_config
from components.evaluator.evaluation import is_blessed, read_evaluation
from components.evaluator.executor import Executor
from components.evaluator.reference_gate import reference_reasons
from components.linear_references.raw_rows import RawRows
from components.linear_references.references import fit_references
from tests.components.evaluator import fixed_predictions

CLASSES = ("animal", "food", "größe")
WORDS = ("horse", "bread", "metre")
ROWS = 60


def artifact(kind, uri, number=1):
    made = kind()
    made.uri, made.id = str(uri), number
    return made


def evaluate(folder, head=0.0, above_reference=True, wrong_texts=0, baseline_classes=()):
    """The pipeline's Evaluator on a model that is right in two rows of three, with texts that tell the class."""
    generator = np.random.default_rng(0)
    truths = generator.integers(0, 3, ROWS)
    texts = [WORDS[(truth + (row < wrong_texts)) % 3] for row, truth in enumerate(truths)]
    said = np.where(np.arange(ROWS) % 3 == 0, (truths + 1) % 3, truths)
    scores = {
        "probabilities": 0.1 + 0.7 * np.eye(3)[said],
        "text_belief": np.full((ROWS, 3), 0.3),
        # Right where `head` is 1.
        "image_belief": 0.1 + head * np.eye(3)[truths],
    }
    scalars = dict.fromkeys(fixed_predictions.SCALARS, np.full(ROWS, 0.1))
    records = []
    for row, truth in enumerate(truths):
        record = fixed_predictions.serialize(
            int(truth),
            CLASSES,
            {name: values[row].astype("float32") for name, values in scores.items()},
            {name: values[row].astype("float32") for name, values in scalars.items()},
            False,
        )
        example = tf.train.Example.FromString(record)
        example.features.feature["text"].bytes_list.value.append(texts[row].encode())
        records.append(example.SerializeToString())
    fixed_predictions.write_split(str(folder / "examples"), "test", records)
    fixed_predictions.save_model(str(folder / "model" / "Format-Serving"), CLASSES, False)
    learnt = RawRows({"text": [WORDS[row % 3] for row in range(30)]}, np.arange(30) % 3)
    fit_references(learnt, learnt, CLASSES, False).save(str(folder / "references"))
    standard = tfx.types.standard_artifacts
    examples = artifact(standard.Examples, folder / "examples")
    examples.split_names = json.dumps(["test"])
    blessing = artifact(standard.ModelBlessing, folder / "blessing")
    baseline = []
    if baseline_classes:
        path = str(folder / "baseline" / "Format-Serving")
        fixed_predictions.save_model(path, baseline_classes, False, any_number=True)
        baseline = [artifact(standard.Model, folder / "baseline", 6)]
    Executor().Do(
        {
            "examples": [examples],
            "baseline_model": baseline,
            "model": [artifact(standard.Model, folder / "model", 7)],
            "references": [artifact(LinearReferencesArtifact, folder / "references")],
        },
        {"evaluation": [artifact(standard.ModelEvaluation, folder / "evaluation")], "blessing": [blessing]},
        {
            "eval_config": proto_utils.proto_to_json(make_eval_config(CLASSES, multi_label=False, min_f1_m=0.5)),
            "example_splits": json.dumps(["test"]),
            "above_reference": int(above_reference),
            "code_fingerprint": "",
        },
    )
    evaluation = read_evaluation(str(folder / "evaluation"))
    fused = sklearn.metrics.f1_score(truths, said, average="macro")
    assert evaluation["overall"]["probabilities"]["f1_m"] == pytest.approx(fused)
    linear = sklearn.metrics.f1_score(truths, [WORDS.index(text) for text in texts], average="macro")
    assert evaluation["references"]["macro_f1"] == {"text": pytest.approx(linear)}
    return evaluation, blessing, fused, linear


def test_a_model_below_a_linear_one_is_not_blessed(tmp_path):
    evaluation, blessing, fused, _ = evaluate(tmp_path)
    assert fused > 0.5
    assert evaluation["gate"]["reasons"] == [
        f"Macro F1 is {fused:.4f}, below the 1.0000 of a linear model on text alone."
    ]
    assert not evaluation["gate"]["blessed"]
    assert not is_blessed(blessing.uri)
    assert os.listdir(blessing.uri) == ["NOT_BLESSED"]
    # What TFX's Pusher and the resolver of the last blessed model read.
    assert blessing.get_int_custom_property("blessed") == 0
    assert blessing.get_int_custom_property("current_model_id") == 7


def test_a_model_above_them_is_blessed(tmp_path):
    evaluation, blessing, fused, linear = evaluate(tmp_path, wrong_texts=40)
    assert linear < fused
    assert evaluation["gate"]["reasons"] == [] and evaluation["gate"]["blessed"]
    assert is_blessed(blessing.uri) and blessing.get_int_custom_property("blessed") == 1


def test_a_model_of_other_classes_is_no_baseline_and_stops_nothing(tmp_path):
    evaluation, blessing, _, _ = evaluate(tmp_path, wrong_texts=40, baseline_classes=("animal", "drink", "größe"))
    assert not evaluation["gate"]["compared"] and evaluation["baseline"] is None
    left_out = evaluation["gate"]["baseline_left_out"]
    assert left_out == "it has other classes, without 'food' and with 'drink'"
    assert is_blessed(blessing.uri) and not blessing.get_int_custom_property("baseline_model_id")


def test_a_model_below_its_own_head_is_not_blessed(tmp_path):
    evaluation, blessing, fused, _ = evaluate(tmp_path, head=1.0, wrong_texts=40)
    assert evaluation["gate"]["reasons"] == [f"Macro F1 is {fused:.4f}, below the 1.0000 of its own image head."]
    assert not is_blessed(blessing.uri)


def test_the_references_can_be_shown_without_being_a_condition(tmp_path):
    evaluation, blessing, _, _ = evaluate(tmp_path, above_reference=False)
    assert evaluation["gate"]["reasons"] == [] and is_blessed(blessing.uri)
    assert evaluation["references"]["above_reference"] is False


@pytest.mark.parametrize(
    ("fused", "told"),
    [(0.49, "its own text head"), (0.47, "its own text head"), (0.5, None), (None, None)],
)
def test_the_best_of_the_simpler_models_is_named(fused, told):
    references = {"above_reference": True, "modalities": ["text", "image"]}
    references["macro_f1"] = {"text": 0.48, "image": 0.2, "joined": 0.9, "average": 0.9}
    overall = {"text_belief": {"f1_m": 0.5}, "image_belief": {"f1_m": None}, "probabilities": {"f1_m": fused}}
    reasons = reference_reasons(fused, overall, references)
    # Joined and averaged linear models are shown; the condition is one modality.
    assert reasons == ([f"Macro F1 is {fused:.4f}, below the 0.5000 of {told}."] if told else [])
    assert reference_reasons(fused, overall, {**references, "above_reference": False}) == []
    assert reference_reasons(fused, overall, None) == []
