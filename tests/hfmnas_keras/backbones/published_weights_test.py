"""The published PyTorch networks and ours compute the same: golden values of `tests/oracles/torch_backbones.py`."""

import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.published_weights import load_published_weights, published_outputs
from tests.hfmnas_keras.backbones.published_case import GOLDEN, build, case_of, tensors_of
from tests.oracles.seeded_tensors import seeded_input


def all_taps(backbone):
    """The backbone's layers by the names of the golden taps."""
    outputs = {"logits": backbone.output["logits"]}
    for layer in backbone.layers:
        if layer.name == "trunk":
            outputs.update(layer(backbone.input))
        elif layer.name in ("block4_conv1", "block5_pool", "pooled"):
            outputs[layer.name] = layer.output
        elif layer.name.startswith("layer"):
            # The last block of a layer comes last.
            outputs[layer.name.split("_")[0]] = layer.output
    return keras.Model(backbone.input, outputs)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"] + "-" + case.get("inflation", ""))
def test_every_tap_equals_pytorch(case):
    backbone = build(case)
    with_head = "logits" in case["outputs"]
    load_published_weights(backbone, tensors_of(case), case.get("inflation", "center"), with_head)
    outputs = all_taps(backbone)(seeded_input(case["name"], case["input_shape"], case["highest"]))
    for name, golden in case["outputs"].items():
        expected = np.reshape(golden["values"], golden["shape"])
        # Where a share of the values is not zero, the comparison says something.
        assert (expected != 0).mean() > 0.2
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max(), err_msg=name)


def test_names_with_a_common_prefix_and_counters_are_known():
    case = case_of("resnext101_depth")
    backbone, plain = build(case), build(case)
    load_published_weights(backbone, tensors_of(case, "module."), with_head=True)
    load_published_weights(plain, tensors_of(case), with_head=True)
    for one, other in zip(backbone.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert published_outputs(tensors_of(case, "module.")) == 3


def damaged(tensors, damage):
    if damage == "missing":
        del tensors["layer2.0.bn2.running_var"]
    elif damage == "unknown":
        tensors["layer5.0.conv1.weight"] = np.zeros((1, 1, 1, 1, 1), "float32")
    elif damage == "shape":
        tensors["bn1.weight"] = np.zeros(5, "float32")
    elif damage == "rank":
        tensors["conv1.weight"] = np.zeros(5, "float32")
    elif damage == "nan":
        tensors["bn1.bias"][2] = np.nan
    return tensors


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "missing: layer2.0.bn2.running_var"),
        ("unknown", "unknown: layer5.0.conv1.weight"),
        ("shape", r"bn1.weight has shape \(5,\), where bn1/gamma is \(4,\)"),
        ("rank", r"conv1.weight has shape \(5,\), where conv1/kernel is \(1, 7, 7, 3, 4\)"),
        ("nan", "bn1.bias holds NaN"),
    ],
)
def test_a_file_that_does_not_fit_sets_nothing(damage, message):
    case = case_of("inflated_resnet50")
    backbone = build(case)
    before = backbone.get_weights()
    with pytest.raises(ValueError, match=message):
        load_published_weights(backbone, damaged(tensors_of(case), damage))
    for one, other in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_network_is_named_in_short():
    with pytest.raises(ValueError, match=r"missing: features.0.weight, .* and \d+ more"):
        load_published_weights(build(case_of("vgg19")), tensors_of(case_of("hcn")))


def test_rejects_unknown_inflation_and_an_ambiguous_classifier():
    case = case_of("vgg16")
    with pytest.raises(ValueError, match="inflation"):
        load_published_weights(build(case), tensors_of(case), "repeat")
    with pytest.raises(ValueError, match="Found: none"):
        published_outputs(tensors_of(case))
