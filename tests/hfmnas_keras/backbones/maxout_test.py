import json
import pathlib

import numpy as np
import pytest

from hfmnas_keras.backbones.maxout import Maxout
from tests.hfmnas_keras.layer_test_case import run_layer_test

# Made by tests/oracles/maxout.py.
GOLDEN = json.loads(
    (pathlib.Path(__file__).parents[2] / "oracles" / "maxout.json").read_text(encoding="utf-8"),
)


def test_is_a_sound_layer():
    run_layer_test(
        lambda **kwargs: Maxout(4, pieces=3, **kwargs),
        np.random.default_rng(0).normal(size=(5, 6)).astype("float32"),
        expected_output_shape=(5, 4),
        expected_num_weights=2,
    )


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"{case['pieces']} pieces of {case['units']}")
def test_equals_tensorflow_addons(case):
    """Golden values of `tfa.layers.Maxout` on the outputs of a Dense with the same weights."""
    inputs = np.array(case["inputs"], "float32")
    layer = Maxout(case["units"], pieces=case["pieces"])
    layer.build(inputs.shape)
    layer.linear.set_weights([np.array(case["kernel"]), np.array(case["bias"])])
    np.testing.assert_allclose(layer(inputs), case["outputs"], rtol=0, atol=1e-5)


def test_units_are_strided_as_in_tensorflow_addons():
    layer = Maxout(3, pieces=4)
    layer.build((None, 12))
    layer.linear.set_weights([np.eye(12), np.zeros(12)])
    values = np.arange(12, dtype="float32")[None]
    np.testing.assert_array_equal(layer(values), [[9, 10, 11]])
    np.testing.assert_array_equal(layer(-values), [[0, -1, -2]])


def test_equals_the_closed_form():
    inputs = np.random.default_rng(1).normal(size=(5, 2, 6)).astype("float32")
    layer = Maxout(4, pieces=3)
    output = np.asarray(layer(inputs))
    kernel, bias = (np.asarray(weight, "float64") for weight in layer.linear.weights)
    for unit in range(4):
        competing = [inputs @ kernel[:, column] + bias[column] for column in (unit, unit + 4, unit + 8)]
        np.testing.assert_allclose(output[..., unit], np.max(competing, axis=0), atol=1e-5)


def test_rejects_no_units():
    with pytest.raises(ValueError, match="units"):
        Maxout(0)
