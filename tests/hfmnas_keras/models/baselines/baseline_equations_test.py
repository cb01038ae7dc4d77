"""Every baseline as a whole network, at inference, against its equations in float64 numpy.

Written from docs/method.md, section 10, and the docstrings that restate the papers' equations, not from the code.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from hfmnas_keras.models.baselines.baseline_model import baseline_model
from hfmnas_keras.settings.models import PLAIN_MODELS
from tests.hfmnas_keras.network_settings import NetworkSettings
from tests.hfmnas_keras.reference_arithmetic import randomize_statistics, randomize_weights, sigmoid, softmax

SHAPES = {"text_low": (5,), "text_high": (6,), "image_low": (3, 2, 3), "image_high": (3, 2, 4)}
# A dropout that would be seen, were it not left out at inference.
FUSION = NetworkSettings(channels=8, grid=(3, 2), dropout=0.5)
ROWS, CLASSES = 16, 3


def flat(feature):
    return feature.reshape(len(feature), -1)


def dense(rows, weights, name):
    return rows @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def standardised(rows, weights, name):
    return (rows - weights[f"{name}/moving_mean"]) / np.sqrt(weights[f"{name}/moving_variance"] + 1e-3)


def normalised(feature, weights, name):
    gamma, beta = weights[f"{name}_norm/gamma"], weights[f"{name}_norm/beta"]
    return standardised(flat(feature), weights, f"{name}_norm") * gamma + beta


def hidden(feature, weights, name):
    return np.maximum(dense(normalised(feature, weights, name), weights, f"{name}_hidden"), 0)


def transferred(first, second, weights, name):
    """Each modality, its channels reweighed by what both have on average over positions."""
    means = [feature.mean(axis=(1, 2)) if feature.ndim == 4 else feature for feature in (first, second)]
    z = np.maximum(dense(np.concatenate(means, axis=1), weights, f"{name}/squeeze"), 0)
    gates = [2 * sigmoid(dense(z, weights, f"{name}/excitation_{number}")) for number in (1, 2)]
    return [
        feature * (gate[:, None, None] if feature.ndim == 4 else gate)
        for feature, gate in zip((first, second), gates, strict=True)
    ]


def late_average(own, multi_label):
    """The logits of the mean probability."""
    p = np.mean([sigmoid(logits) if multi_label else softmax(logits) for logits in own.values()], axis=0)
    return np.log(p) - np.log(1 - p) if multi_label else np.log(p)


def bitransformed(features, weights):
    """Kiela et al., section 3: tokens, then post-normalised blocks; the class token is classified."""
    parts = []
    for number, (feature, segment) in enumerate(zip(features, (0, 0, 1, 1), strict=True), start=1):
        tokens = dense(feature.reshape(len(feature), -1, feature.shape[-1]), weights, f"tokens/projection_{number}")
        parts.append(tokens + weights[f"tokens/positions_{number}"] + weights["tokens/segments"][segment])
    first = np.tile(weights["tokens/class_token"], (len(features[0]), 1, 1))
    hidden = layer_normalised(np.concatenate([first, *parts], axis=1), weights, "tokens_norm")
    for block in ("block_1", "block_2"):
        query, key, value = (
            np.einsum("bnc,chd->bhnd", hidden, weights[f"{block}_attention/{part}/kernel"])
            + weights[f"{block}_attention/{part}/bias"][:, None]
            for part in ("query", "key", "value")
        )
        scores = softmax(np.einsum("bhqd,bhkd->bhqk", query, key) / np.sqrt(query.shape[-1]))
        attended = np.einsum("bhqk,bhkd->bhqd", scores, value)
        attended = np.einsum("bhqd,hdc->bqc", attended, weights[f"{block}_attention/attention_output/kernel"])
        attended = attended + weights[f"{block}_attention/attention_output/bias"]
        hidden = layer_normalised(hidden + attended, weights, f"{block}_first_norm")
        inner = dense(hidden, weights, f"{block}_inner")
        inner = inner * scipy.special.ndtr(inner)
        hidden = layer_normalised(hidden + dense(inner, weights, f"{block}_outer"), weights, f"{block}_second_norm")
    return dense(hidden[:, 0], weights, "logits")


def layer_normalised(hidden, weights, name):
    centred = hidden - hidden.mean(axis=-1, keepdims=True)
    centred = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return centred * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def reference(name, features, weights, multi_label):
    """The outputs of the baseline `name`: `logits`, and `first` and `second` where each modality has its own loss."""
    low, high = ([features[f"{modality}_{level}"] for modality in ("text", "image")] for level in ("low", "high"))
    if name == "mmbt":
        return {"logits": bitransformed([low[0], high[0], low[1], high[1]], weights)}
    if name == "mmtm":
        low, high = transferred(*low, weights, "low_transfer"), transferred(*high, weights, "high_transfer")
    first, second = (
        np.concatenate([flat(level) for level in levels], axis=1) for levels in zip(low, high, strict=True)
    )
    if name == "unimodal_first":
        return {"logits": dense(hidden(first, weights, "first"), weights, "logits")}
    if name == "unimodal_second":
        return {"logits": dense(hidden(second, weights, "second"), weights, "logits")}
    if name == "concatenation":
        both = np.concatenate([hidden(first, weights, "first"), hidden(second, weights, "second")], axis=1)
        return {"logits": dense(both, weights, "logits")}
    if name == "gmu":
        x1, x2 = normalised(first, weights, "first"), normalised(second, weights, "second")
        z = sigmoid(np.concatenate([x1, x2], axis=1) @ weights["gmu/gate/kernel"])
        h1, h2 = np.tanh(x1 @ weights["gmu/hidden_1/kernel"]), np.tanh(x2 @ weights["gmu/hidden_2/kernel"])
        return {"logits": dense(hidden(z * h1 + (1 - z) * h2, weights, "fused"), weights, "logits")}
    if name == "central_net":
        h1, h2 = hidden(low[0], weights, "first_low"), hidden(low[1], weights, "second_low")
        alpha = weights["central_low/alpha"]
        centre = hidden(alpha[0] * h1 + alpha[1] * h2, weights, "central")
        h1, h2 = hidden(high[0], weights, "first_high"), hidden(high[1], weights, "second_high")
        alpha = weights["central_high/alpha"]
        return {
            "logits": dense(alpha[0] * centre + alpha[1] * h1 + alpha[2] * h2, weights, "logits"),
            "first": dense(h1, weights, "first_logits"),
            "second": dense(h2, weights, "second_logits"),
        }
    own = {
        "first": dense(hidden(first, weights, "first"), weights, "first_logits"),
        "second": dense(hidden(second, weights, "second"), weights, "second_logits"),
    }
    if name == "late_average":
        return {"logits": late_average(own, multi_label), **own}
    if name == "mmtm":
        return {"logits": late_average(own, multi_label)}
    assert name == "two_stream"
    scores = []
    for modality, logits in own.items():
        score = sigmoid(logits) if multi_label else softmax(logits)
        score = score / np.linalg.norm(score, axis=1, keepdims=True)
        scores.append(standardised(score, weights, f"{modality}_standard_scores"))
    return {"logits": dense(np.concatenate(scores, axis=1), weights, "logits"), **own}


@pytest.mark.parametrize("name", list(PLAIN_MODELS))
@pytest.mark.parametrize("multi_label", [False, True], ids=["one_label", "several_labels"])
def test_the_whole_network_is_its_equations(name, multi_label):
    random = np.random.default_rng(0)
    features = {feature: 2 * random.normal(size=(ROWS, *shape)) for feature, shape in SHAPES.items()}
    model = baseline_model(name, SHAPES, CLASSES, FUSION.fusion, FUSION.final_model, multi_label)
    randomize_weights(model)
    randomize_statistics(model)
    values = [weight.value for weight in model.weights if weight.dtype == "float32"]
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = model({feature: array.astype("float32") for feature, array in features.items()})
        total = sum(tf.reduce_sum(output**2) for output in outputs.values())
    weights = {weight.path: np.asarray(weight, "float64") for weight in model.weights}
    expected = reference(name, features, weights, multi_label)
    assert outputs.keys() == expected.keys()
    for output, array in expected.items():
        np.testing.assert_allclose(outputs[output], array, rtol=1e-4, atol=1e-5, err_msg=output)
    # Every weight counts: one before a layer whose ReLUs are shut for all rows would be compared with nothing.
    for value, gradient in zip(values, tape.gradient(total, values), strict=True):
        assert np.any(np.asarray(gradient)), value.name
