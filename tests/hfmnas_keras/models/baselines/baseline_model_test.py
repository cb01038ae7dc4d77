"""Every baseline as a network: what it returns, that it can learn, that its modalities stay apart where they should."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from sklearn.metrics import f1_score

from hfmnas_keras.models.baselines.baseline_model import baseline_model
from hfmnas_keras.models.baselines.stacked_identity import StackedIdentity
from hfmnas_keras.optimization.losses import task_loss
from hfmnas_keras.settings.models import PLAIN_MODELS
from tests.hfmnas_keras.network_settings import NetworkSettings

SHAPES = {"text_low": (5,), "text_high": (6,), "image_low": (2, 2, 3), "image_high": (2, 2, 4)}
FUSION = NetworkSettings(channels=32, grid=(2, 2), dropout=0.0)
ROWS, CLASSES = 32, 4


def _features(rows=ROWS):
    random = np.random.default_rng(0)
    return {name: random.normal(size=(rows, *shape)).astype("float32") for name, shape in SHAPES.items()}


@pytest.fixture(params=list(PLAIN_MODELS))
def name(request):
    return request.param


def _train(model, features, labels, steps):
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = sum(task_loss(labels, logits) for logits in model(features, training=True).values())
        optimizer.apply(tape.gradient(loss, model.trainable_variables))

    for _ in range(steps):
        step()


def test_it_learns_32_random_rows_by_heart(name):
    keras.utils.set_random_seed(0)
    labels = np.random.default_rng(1).integers(CLASSES, size=ROWS)
    model = baseline_model(name, SHAPES, CLASSES, FUSION.fusion, FUSION.final_model)
    _train(model, _features(), tf.constant(labels), steps=120)
    predicted = np.argmax(model(_features(), training=True)["logits"], axis=1)
    assert f1_score(labels, predicted, average="macro") > 0.95


def test_several_labels_a_row_are_learnt_too(name):
    keras.utils.set_random_seed(0)
    labels = np.random.default_rng(1).integers(2, size=(ROWS, CLASSES)).astype("float32")
    model = baseline_model(name, SHAPES, CLASSES, FUSION.fusion, FUSION.final_model, multi_label=True)
    _train(model, _features(), tf.constant(labels), steps=200)
    predicted = np.asarray(model(_features(), training=True)["logits"]) > 0
    assert f1_score(labels, predicted, average="macro") > 0.95


def test_the_answer_depends_on_the_modalities_it_reads_and_not_on_the_batch(name):
    keras.utils.set_random_seed(0)
    model = baseline_model(name, SHAPES, CLASSES, FUSION.fusion, FUSION.final_model)
    features = _features()
    logits = np.asarray(model(features)["logits"])
    assert logits.shape == (ROWS, CLASSES)
    alone = model({feature: array[:1] for feature, array in features.items()})["logits"]
    np.testing.assert_allclose(alone, logits[:1], atol=1e-5)
    unread = {"unimodal_first": "image_high", "unimodal_second": "text_high"}.get(name)
    for feature in ("text_high", "image_high"):
        changed = model({**features, feature: features[feature] + 1.0})["logits"]
        assert (np.abs(np.asarray(changed) - logits).max() > 1e-3) == (feature != unread), feature


def test_a_modality_of_its_own_sees_nothing_of_the_other():
    for name in ("late_average", "two_stream", "central_net"):
        model = baseline_model(name, SHAPES, CLASSES, FUSION.fusion, FUSION.final_model)
        features = _features()
        before = model(features)
        after = model(
            {**features, "image_high": features["image_high"] + 1.0, "image_low": features["image_low"] + 1.0}
        )
        np.testing.assert_array_equal(after["first"], before["first"])
        assert np.abs(np.asarray(after["second"]) - np.asarray(before["second"])).max() > 1e-3


@pytest.mark.parametrize("multi_label", [False, True])
def test_two_streams_begin_as_their_sum(multi_label):
    outputs = baseline_model("two_stream", SHAPES, CLASSES, FUSION.fusion, FUSION.final_model, multi_label)(_features())
    total = 0.0
    for name in ("first", "second"):
        own = np.asarray(outputs[name], "float64")
        scores = scipy.special.expit(own) if multi_label else scipy.special.softmax(own, axis=1)
        total = total + scores / np.linalg.norm(scores, axis=1, keepdims=True)
    # The moving averages of a new normalisation are 0 and 1, its epsilon is 1e-3.
    np.testing.assert_allclose(outputs["logits"], total / np.sqrt(1 + 1e-3), atol=1e-6)


def test_scores_are_stacked_class_by_class():
    with pytest.raises(ValueError, match=r"\(5, 2\)"):
        StackedIdentity()((5, 2))


def test_it_comes_back_from_a_file(name, tmp_path):
    model = baseline_model(name, SHAPES, CLASSES, FUSION.fusion, FUSION.final_model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(_features())["logits"], model(_features())["logits"], atol=1e-6)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="concatenation, late_average"):
        baseline_model("mfas", SHAPES, CLASSES, FUSION.fusion, FUSION.final_model)


def test_a_missing_feature_is_named():
    with pytest.raises(ValueError, match="image_high"):
        baseline_model(
            "gmu",
            {name: shape for name, shape in SHAPES.items() if name != "image_high"},
            CLASSES,
            FUSION.fusion,
            FUSION.final_model,
        )
