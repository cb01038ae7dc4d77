import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.convnext import convnext, convnext_from_tensors
from hfmnas_keras.cost import model_cost
from tests.hfmnas_keras.cost.profiled_flops import profiled_flops
from tests.oracles.golden import vision_golden
from tests.oracles.seeded_tensors import seeded_input, seeded_tensor

GOLDEN = next(case for case in vision_golden()["encoders"] if case["kind"] == "convnext")


def tensors_of(prefix="", **changes):
    tensors = {name: seeded_tensor(name, tuple(shape)) for name, shape in GOLDEN["tensors"].items()}
    return {prefix + name: tensor for name, tensor in {**tensors, **changes}.items()}


def assert_equals_golden(model):
    (case,) = GOLDEN["cases"]
    outputs = model(seeded_input(case["input"], (1, *case["sides"], 3)))
    assert list(outputs) == list(case["outputs"])
    for name, golden in case["outputs"].items():
        expected = np.reshape(golden["values"], golden["shape"])
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("prefix", ["", "convnext."])
def test_every_stage_equals_transformers(prefix):
    tensors = {**tensors_of(prefix), "classifier.weight": np.zeros((2, 10), "float32")}
    assert_equals_golden(convnext_from_tensors(GOLDEN["config"], tensors))


def test_the_file_holds_built_in_layers_alone_and_keeps_every_tap(tmp_path):
    model = convnext_from_tensors(GOLDEN["config"], tensors_of())
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
    model.save(tmp_path / "x.keras")
    assert_equals_golden(keras.saving.load_model(tmp_path / "x.keras", compile=False))


def test_the_published_sizes_have_the_published_number_of_weights():
    # 28.6 million in ConvNeXt-Tiny, of which 769,000 are its classifier and 1,536 the normalisation before it; its 18
    # layer scales, 96 to 768 wide, are part of others here.
    scales = 3 * 96 + 3 * 192 + 9 * 384 + 3 * 768
    assert convnext().count_params() == 28_589_128 - 769_000 - 1_536 - scales


def test_its_cost_is_what_the_profiler_counts():
    image = keras.Input((64, 64, 3))
    model = keras.models.clone_model(convnext((4, 4, 6, 8), (1, 1, 1, 1)), input_tensors=image)
    assert model_cost(model).flops == sum(profiled_flops(model).values())


@pytest.mark.parametrize(
    ("change", "tensors", "message"),
    [
        ({"model_type": "convnextv2"}, {}, "must be convnext.* Received: 'convnextv2'"),
        ({"hidden_act": "relu"}, {}, "`hidden_act` gelu. Received: 'convnext', 'relu'"),
        ({}, {"encoder.stages.1.layers.0.pwconv1.weight": np.zeros((24, 7), "float32")}, r"has shape \(24, 7\)"),
        (
            {},
            {"encoder.stages.1.layers.0.grn.weight": np.zeros(3, "float32")},
            "unknown: encoder.stages.1.layers.0.grn",
        ),
    ],
)
def test_what_is_none_is_refused(change, tensors, message):
    with pytest.raises(ValueError, match=message):
        convnext_from_tensors({**GOLDEN["config"], **change}, tensors_of(**tensors))


def test_tensors_of_another_network_are_refused():
    with pytest.raises(ValueError, match="no such tensor"):
        convnext_from_tensors(GOLDEN["config"], {"a": np.zeros(3)})
    with pytest.raises(ValueError, match="one a stage. Received: \\(4, 4\\), \\(1,\\)"):
        convnext((4, 4), (1,))
