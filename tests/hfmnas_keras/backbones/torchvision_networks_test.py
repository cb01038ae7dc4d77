"""ResNet, ResNeXt and DenseNet equal torchvision's."""

import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.densenet import DENSENETS, densenet, densenet_from_tensors
from hfmnas_keras.backbones.residual_network import (
    RESIDUAL_NETWORKS,
    residual_network,
    residual_network_from_tensors,
)
from hfmnas_keras.cost import model_cost
from tests.hfmnas_keras.cost.profiled_flops import profiled_flops
from tests.oracles.golden import vision_golden
from tests.oracles.seeded_tensors import seeded_input, seeded_tensor

GOLDEN = {case["name"]: case for case in vision_golden()["encoders"] if "arguments" in case}
FROM_TENSORS = {"residual_network": residual_network_from_tensors, "densenet": densenet_from_tensors}


def tensors_of(name):
    return {key: np.asarray(seeded_tensor(key, tuple(shape))) for key, shape in GOLDEN[name]["tensors"].items()}


def model_of(name, tensors=None):
    golden = GOLDEN[name]
    return FROM_TENSORS[golden["kind"]](tensors or tensors_of(name), *golden["arguments"])


def assert_equals_golden(model, name):
    (case,) = GOLDEN[name]["cases"]
    outputs = model(seeded_input(case["input"], (1, *case["sides"], 3)))
    assert list(outputs) == list(case["outputs"])
    for tap, golden in case["outputs"].items():
        assert list(outputs[tap].shape) == golden["shape"]
        values = np.ravel(outputs[tap])
        some = values[:: -(-len(values) // 250)]
        np.testing.assert_allclose(some, golden["some"], rtol=1e-4, atol=1e-4, err_msg=tap)


@pytest.mark.parametrize("name", GOLDEN)
def test_every_stage_equals_torchvision_also_after_the_file_was_read(name, tmp_path):
    model = model_of(name)
    assert_equals_golden(model, name)
    model.save(tmp_path / "x.keras")
    assert_equals_golden(keras.saving.load_model(tmp_path / "x.keras", compile=False), name)


def test_old_names_of_densenet_are_known():
    old = {}
    for key, tensor in tensors_of("densenet").items():
        if "denselayer" in key:
            for number in "12":
                key = key.replace(f"norm{number}", f"norm.{number}").replace(f"conv{number}", f"conv.{number}")
        old[key] = tensor
    assert any(".norm.1." in key for key in old)
    assert_equals_golden(model_of("densenet", old), "densenet")


@pytest.mark.parametrize("name", ["densenet161", "resnext101_32x8d"])
def test_the_published_sizes_have_the_published_number_of_weights(name):
    make, sizes = (densenet, DENSENETS) if name in DENSENETS else (residual_network, RESIDUAL_NETWORKS)
    assert make(*sizes[name]).count_params() == vision_golden()["sizes"][name]


@pytest.mark.parametrize("make", [lambda: densenet((1, 2), 4, 8), lambda: residual_network((1, 1, 1, 1), 4, 8)])
def test_their_cost_is_what_the_profiler_counts(make):
    model = keras.models.clone_model(make(), input_tensors=keras.Input((64, 64, 3)))
    counted, profiled = model_cost(model), sum(profiled_flops(model).values())
    grouped = sum(part.flops for name, part in counted.parts.items() if name.endswith("_conv2"))
    if any(type(layer).__name__ == "GroupedConvolution2D" for layer in model.layers):
        # What is multiplied with the zeros between the groups is not counted, and is all that the profiler sees more.
        assert counted.flops - grouped < counted.flops < profiled
    else:
        assert counted.flops == profiled


@pytest.mark.parametrize("name", GOLDEN)
def test_other_tensors_are_refused(name):
    tensors = tensors_of(name)
    tensors.pop(next(key for key in tensors if key.endswith("conv2.weight")))
    with pytest.raises(ValueError, match="missing: .*conv2.weight.*torchvision's file"):
        model_of(name, tensors)
    with pytest.raises(ValueError, match="unknown: x.weight"):
        model_of(name, {**tensors_of(name), "x.weight": np.zeros(3)})


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="`blocks` must be four positive ints"):
        residual_network((1, 1, 1))
    with pytest.raises(ValueError, match="must be positive"):
        densenet((1, 0))
