import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.efficientnet_lite import VARIANTS, efficientnet_lite, efficientnet_lite_from_tensors
from tests.oracles.golden import encoder_golden
from tests.oracles.seeded_tensors import seeded_input, seeded_tensor

CASES = {case["name"]: case for case in encoder_golden()["lites"]}


def tensors_of(case):
    return {name: seeded_tensor(name, tuple(shape)) for name, shape in case["tensors"].items()}


def model_of(case):
    return efficientnet_lite_from_tensors(tensors_of(case), case["variant"], case["width"])


def assert_equals_golden(model, case):
    outputs = model(seeded_input(case["name"], case["input_shape"]))
    assert sorted(outputs) == sorted(case["outputs"])
    for name, golden in case["outputs"].items():
        expected = np.reshape(golden["values"], golden["shape"])
        scale = np.abs(expected).max()
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-5 * scale, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_every_stage_equals_the_published_network(name):
    # One picture has sides that no stride divides, so that padding shows.
    assert_equals_golden(model_of(CASES[name]), CASES[name])


def test_the_file_holds_built_in_layers_alone_and_keeps_every_tap(tmp_path):
    model = model_of(CASES["lite0"])
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
    model.save(tmp_path / "lite.keras")
    assert_equals_golden(keras.saving.load_model(tmp_path / "lite.keras", compile=False), CASES["lite0"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_variants_have_the_published_sizes(variant):
    assert efficientnet_lite(variant).count_params() == encoder_golden()["lite_sizes"][variant]


def test_arguments_are_checked():
    with pytest.raises(ValueError, match=r"one of \[0, 1, 2, 3, 4\]. Received: 5"):
        efficientnet_lite(5)
    with pytest.raises(ValueError, match="`width` must be above 0"):
        efficientnet_lite(0, width=-1.0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("_blocks.3._bn1.running_var", None, "missing: _blocks.3._bn1.running_var"),
        ("_conv_stem.weight", np.zeros((32, 3, 5, 5), "float32"), r"has shape \(32, 3, 5, 5\)"),
        ("_blocks.0._se_reduce.weight", np.zeros((8, 32, 1, 1), "float32"), "unknown: _blocks.0._se_reduce.weight"),
        ("_bn0.bias", np.full(32, np.inf, "float32"), "NaN or infinity"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name, value, message):
    tensors = tensors_of(CASES["lite0"])
    tensors.pop(name, None)
    if value is not None:
        tensors[name] = value
    with pytest.raises(ValueError, match=message):
        efficientnet_lite_from_tensors(tensors, 0, CASES["lite0"]["width"])
