"""The layers of the baselines against a few lines of numpy in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from hfmnas_keras.models.baselines.average_logits import AverageLogits
from hfmnas_keras.models.baselines.central_fusion import CentralFusion
from hfmnas_keras.models.baselines.feature_tokens import FeatureTokens
from hfmnas_keras.models.baselines.gated_multimodal_unit import GatedMultimodalUnit
from hfmnas_keras.models.baselines.multimodal_transfer import MultimodalTransfer
from tests.hfmnas_keras.layer_test_case import run_layer_test

RANDOM = np.random.default_rng(0)


def _normal(*shape):
    return RANDOM.normal(size=shape).astype("float32")


def _sigmoid(logits):
    return 1.0 / (1.0 + np.exp(-logits.astype("float64")))


def _softmax(logits):
    exponentials = np.exp(logits.astype("float64"))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("make_layer", "inputs", "output_shape", "num_weights"),
    [
        (lambda: GatedMultimodalUnit(5), [_normal(4, 3), _normal(4, 6)], (4, 5), 3),
        (lambda: MultimodalTransfer(2), [_normal(4, 3), _normal(4, 2, 3, 5)], [(4, 3), (4, 2, 3, 5)], 6),
        (lambda: CentralFusion(), [_normal(4, 3), _normal(4, 3), _normal(4, 3)], (4, 3), 1),
        (lambda: AverageLogits(), [_normal(4, 3), _normal(4, 3)], (4, 3), 0),
        (lambda: FeatureTokens(5, (0, 1)), [_normal(4, 3), _normal(4, 2, 3, 6)], (4, 8, 5), 8),
    ],
    ids=["gmu", "mmtm", "central", "average", "tokens"],
)
def test_is_a_sound_layer(make_layer, inputs, output_shape, num_weights):
    run_layer_test(make_layer, inputs, output_shape, num_weights)


def test_the_gated_unit_is_its_equation():
    first, second = _normal(4, 3), _normal(4, 6)
    layer = GatedMultimodalUnit(5)
    output = np.asarray(layer([first, second]))
    weight_1, weight_2, gate_weight = (np.asarray(weight, "float64") for weight in layer.weights)
    gate = _sigmoid(np.concatenate([first, second], axis=1) @ gate_weight)
    expected = gate * np.tanh(first @ weight_1) + (1 - gate) * np.tanh(second @ weight_2)
    np.testing.assert_allclose(output, expected, atol=1e-5)


def test_tokens_are_projections_positions_and_segments():
    vector, grid = _normal(4, 3), _normal(4, 2, 3, 6)
    layer = FeatureTokens(5, (0, 1))
    layer.build([vector.shape, grid.shape])
    layer.set_weights([_normal(*weight.shape) for weight in layer.weights])
    weights = {weight.path.split("/", 1)[1]: np.asarray(weight) for weight in layer.weights}
    tokens = np.asarray(layer([vector, grid]))
    np.testing.assert_allclose(tokens[:, 0], np.tile(weights["class_token"], (4, 1)))
    first = vector @ weights["projection_1/kernel"] + weights["projection_1/bias"]
    np.testing.assert_allclose(tokens[:, 1], first + weights["positions_1"][0] + weights["segments"][0], atol=1e-5)
    # Row 1, column 2 of the grid is its last position, the sixth.
    last = grid[:, 1, 2] @ weights["projection_2/kernel"] + weights["projection_2/bias"]
    np.testing.assert_allclose(tokens[:, 7], last + weights["positions_2"][5] + weights["segments"][1], atol=1e-5)
    with pytest.raises(ValueError, match="needs 2 vectors or maps"):
        FeatureTokens(5, (0, 1)).build([vector.shape])


def test_the_transfer_module_is_its_equation():
    vector, grid = _normal(4, 3), _normal(4, 2, 3, 5)
    layer = MultimodalTransfer(reduction=2)
    layer.build([vector.shape, grid.shape])
    # Biases that are not zero.
    layer.set_weights([_normal(*weight.shape) for weight in layer.weights])
    outputs = [np.asarray(tensor) for tensor in layer([vector, grid])]
    squeeze, squeeze_bias, *excitations = (np.asarray(weight, "float64") for weight in layer.weights)
    assert squeeze.shape == (8, 4)
    means = np.concatenate([vector, grid.mean(axis=(1, 2))], axis=1)
    joint = np.maximum(means @ squeeze + squeeze_bias, 0)
    gates = [
        2 * _sigmoid(joint @ excitations[0] + excitations[1]),
        2 * _sigmoid(joint @ excitations[2] + excitations[3]),
    ]
    np.testing.assert_allclose(outputs[0], vector * gates[0], atol=1e-5)
    np.testing.assert_allclose(outputs[1], grid * gates[1][:, None, None], atol=1e-5)


def test_a_transfer_without_weights_changes_nothing():
    inputs = [_normal(4, 3), _normal(4, 6)]
    layer = MultimodalTransfer()
    layer.build([tensor.shape for tensor in inputs])
    layer.set_weights([np.zeros(weight.shape) for weight in layer.weights])
    for output, tensor in zip(layer(inputs), inputs, strict=True):
        np.testing.assert_allclose(output, tensor, atol=1e-6)


def test_the_centre_is_a_weighted_sum_that_starts_at_one():
    inputs = [_normal(4, 3) for _ in range(3)]
    layer = CentralFusion()
    np.testing.assert_allclose(layer(inputs), sum(inputs), atol=1e-5)
    layer.set_weights([np.array([0.5, -1.0, 2.0])])
    np.testing.assert_allclose(layer(inputs), 0.5 * inputs[0] - inputs[1] + 2.0 * inputs[2], atol=1e-5)


def test_averaged_logits_have_the_mean_of_the_probabilities():
    logits = [_normal(4, 3), 5 * _normal(4, 3)]
    averaged = np.asarray(AverageLogits()(logits))
    np.testing.assert_allclose(_softmax(averaged), np.mean([_softmax(one) for one in logits], axis=0), atol=1e-6)
    averaged = np.asarray(AverageLogits(multi_label=True)(logits))
    np.testing.assert_allclose(_sigmoid(averaged), np.mean([_sigmoid(one) for one in logits], axis=0), atol=1e-6)


def test_sure_and_contrary_logits_average_without_infinity():
    sure = np.array([[200.0, -200.0]], "float32")
    for multi_label in (False, True):
        averaged = np.asarray(AverageLogits(multi_label)([sure, -sure]))
        np.testing.assert_allclose(averaged[0, 0], averaged[0, 1], atol=1e-5)
        assert np.isfinite(averaged).all()


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (GatedMultimodalUnit(4), [(None, 3), (None, 2, 2, 3)], "two inputs"),
        (MultimodalTransfer(), [(None, 3)], "two vectors or maps"),
        (CentralFusion(), [(None, 3), (None, 4)], "equal shape"),
    ],
)
def test_wrong_shapes_are_refused(layer, shapes, message):
    with pytest.raises(ValueError, match=message):
        layer.build(shapes)
