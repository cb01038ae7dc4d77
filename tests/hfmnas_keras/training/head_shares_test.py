import dataclasses

import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from hfmnas_keras.backbones.text_backbone import text_backbone
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.evidence.thresholds import choose_thresholds
from hfmnas_keras.models.classifier import multimodal_classifier
from hfmnas_keras.optimization.f1_score import macro_f1
from hfmnas_keras.settings.backbones import TextBackboneSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.head_shares import choose_head_shares, mixed_logits, with_head_shares
from hfmnas_keras.training.training_result import TrainingResult

ROWS, CLASSES = 80, 3


def rows(seed=0):
    """Labels, and logits of three models that know each something of them, the last one nothing."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((ROWS, CLASSES)) < 0.4).astype("float32")
    return labels, *(strength * labels + rng.normal(size=labels.shape) for strength in (1.0, 1.0, 0.0))


def test_shares_are_those_of_the_best_average_precision():
    labels, fused, text, image = rows()
    scores = {}
    for of_text in range(6):
        for of_image in range(6 - of_text):
            logits = (1 - (of_text + of_image) / 10) * fused + of_text / 10 * text + of_image / 10 * image
            scores[of_text / 10, of_image / 10] = average_precision_score(labels, logits, average="macro")
    shares = choose_head_shares(labels, fused, {"text": text, "image": image})
    assert (shares["text"], shares["image"]) == max(scores, key=scores.__getitem__)
    assert shares["text"] > 0.2


def test_a_head_that_adds_nothing_has_no_share():
    labels, fused, _, _ = rows()
    # The same order of the rows, whatever the share.
    assert choose_head_shares(labels, fused, {"text": 2 * fused + 1}) == {"text": 0.0}
    assert choose_head_shares(labels, fused, {}) == {}


def backbone_of_ours():
    return text_backbone(9, 4, CLASSES, TextBackboneSettings(8, (6, 5), 2))


def backbone_of_others():
    """Its head is a single layer and no model."""
    tokens = keras.Input((4,), dtype="int64", name="text")
    low = keras.layers.Flatten()(keras.layers.Embedding(9, 2)(tokens))
    high = keras.layers.Dense(5, activation="relu")(low)
    return keras.Model(tokens, {"low": low, "high": high, "logits": keras.layers.Dense(CLASSES, name="head")(high)})


@pytest.mark.parametrize("make_backbone", [backbone_of_ours, backbone_of_others])
@pytest.mark.parametrize("multi_label", [True, False])
def test_the_classifier_answers_what_dev_was_scored_by(multi_label, make_backbone):
    keras.utils.set_random_seed(0)
    backbone = make_backbone()
    taps = backbone.output
    inputs = {name: keras.Input(taps[name].shape[1:], name=f"text_{name}") for name in ("low", "high")}
    joined = keras.layers.Concatenate()(list(inputs.values()))
    network = keras.Model(list(inputs.values()), keras.layers.Dense(CLASSES)(joined))
    tokens = np.random.default_rng(0).integers(1, 9, (ROWS, 4))
    outputs = backbone.predict(tokens, verbose=0)
    features = {f"text_{name}": outputs[name] for name in ("low", "high")}
    fused = np.asarray(network(list(features.values())))
    # So that the head is worth listening to.
    truth = fused + 4 * outputs["logits"] > np.quantile(fused + 4 * outputs["logits"], 0.6, axis=0)
    labels = truth.astype("float32") if multi_label else (fused + 4 * outputs["logits"]).argmax(axis=1)
    dev = FeatureSet(ids=[str(row) for row in range(ROWS)], features=features, labels=labels, tokens=None)
    result = TrainingResult(network, {"text": backbone}, {}, 1, 0.0, 0.0, None, fused)

    settings = TrainingSettings(threshold="dev", unfreeze_backbones=False)
    mixed, shares = with_head_shares(result, dev, settings)
    assert shares == {"text": 0.5}
    expected = 0.5 * fused + 0.5 * outputs["logits"]
    np.testing.assert_allclose(mixed.dev_logits, expected, atol=1e-5)
    np.testing.assert_allclose(mixed.dev_logits, mixed_logits(fused, {"text": outputs["logits"]}, shares), atol=1e-6)
    answer = multimodal_classifier(network, {"text": backbone}, multi_label, shares)({"tokens": tokens})
    exponentials = np.exp(expected)
    probabilities = exponentials / (1 + exponentials)
    if not multi_label:
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-5)
    thresholds = 0.5
    if multi_label:
        thresholds = choose_thresholds(labels, mixed.dev_logits, "dev")
        np.testing.assert_allclose(mixed.thresholds, thresholds)
    assert mixed.dev_macro_f1 == pytest.approx(macro_f1(labels, expected, thresholds))

    own = keras.layers.Dense(CLASSES, name="answer")(taps["high"])
    foreign = keras.Model(backbone.input, {"low": taps["low"], "high": taps["high"], "logits": own})
    result = TrainingResult(network, {"text": foreign}, {}, 1, 0.0, 0.0, None, fused)
    assert with_head_shares(result, dev, settings)[1] == {}
    # Nobody asked for them; or the backbones of the result are others than those of the features.
    for changes in ({"head_shares": "none"}, {"unfreeze_backbones": True}):
        assert with_head_shares(result, dev, dataclasses.replace(settings, **changes)) == (result, {})
