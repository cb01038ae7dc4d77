import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.vision_transformer import VisionTransformerShape, vision_transformer, with_image_size
from hfmnas_keras.backbones.vision_transformer_weights import FAMILIES, vision_transformer_from_tensors
from hfmnas_keras.cost import model_cost
from tests.hfmnas_keras.cost.profiled_flops import profiled_flops
from tests.oracles.golden import vision_golden
from tests.oracles.seeded_tensors import seeded_input, seeded_tensor

GOLDEN = {case["name"]: case for case in vision_golden()["encoders"] if case["kind"] in FAMILIES}


def tensors_of(golden, prefix=""):
    return {prefix + name: seeded_tensor(name, tuple(shape)) for name, shape in golden["tensors"].items()}


def model_of(name, change=None, **tensors):
    golden = GOLDEN[name]
    config = {**golden["config"], **(change or {})}
    return vision_transformer_from_tensors(golden["kind"], config, {**tensors_of(golden), **tensors})


def assert_equals_golden(model, case):
    outputs = model(seeded_input(case["input"], (1, *case["sides"], 3)))
    assert sorted(outputs) == sorted(case["outputs"])
    for name, golden in case["outputs"].items():
        expected = np.reshape(golden["values"], golden["shape"])
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", GOLDEN)
def test_every_tap_equals_transformers_at_every_size(name):
    model = model_of(name)
    for case in GOLDEN[name]["cases"]:
        assert_equals_golden(with_image_size(model, tuple(case["sides"])), case)


@pytest.mark.parametrize(("name", "prefix"), [("vit", "vit."), ("dinov2", "dinov2.")])
def test_a_model_under_a_training_head_is_read_too(name, prefix):
    golden = GOLDEN[name]
    tensors = {**tensors_of(golden, prefix), "classifier.weight": np.zeros((2, 8), "float32")}
    model = vision_transformer_from_tensors(golden["kind"], golden["config"], tensors)
    assert_equals_golden(model, golden["cases"][0])


def test_the_picture_tower_alone_is_read_too():
    golden = GOLDEN["clip"]
    tower = {name: tensor for name, tensor in tensors_of(golden).items() if name.startswith("vision_model.")}
    tower = {name.removeprefix("vision_model."): tensor for name, tensor in tower.items()}
    config = {**golden["config"]["vision_config"], "model_type": "clip_vision_model"}
    outputs = dict(golden["cases"][0]["outputs"])
    del outputs["projected"]
    assert_equals_golden(
        vision_transformer_from_tensors("clip", config, tower), {**golden["cases"][0], "outputs": outputs}
    )


def test_the_file_holds_built_in_layers_alone_and_keeps_every_tap(tmp_path):
    model = model_of("clip")
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
    model.save(tmp_path / "x.keras")
    read = keras.saving.load_model(tmp_path / "x.keras", compile=False)
    for case in GOLDEN["clip"]["cases"]:
        assert_equals_golden(with_image_size(read, tuple(case["sides"])), case)


def test_pictures_are_standardised_as_the_folder_says():
    golden, picture = GOLDEN["vit"], seeded_input("x", (1, 24, 24, 3))
    preprocessor = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
    model = vision_transformer_from_tensors("vit", golden["config"], tensors_of(golden), preprocessor)
    expected = (picture / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
    np.testing.assert_allclose(model.get_layer("preprocessing")(picture), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="`image_std` in preprocessor_config.json must be three numbers"):
        vision_transformer_from_tensors("vit", golden["config"], tensors_of(golden), {"image_std": [1.0]})


def test_its_cost_is_what_the_profiler_counts():
    model = with_image_size(model_of("clip"), (24, 24))
    assert model_cost(model).flops == sum(profiled_flops(model).values())


@pytest.mark.parametrize("size", [(30, 24), (24, 4), (0, 24)])
def test_pictures_are_whole_patches(size):
    with pytest.raises(ValueError, match="multiples of the patch of 8.*preparation.image_size"):
        with_image_size(model_of("vit"), size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "beit"}, "must be vit for vit. Received: 'beit'"),
        ({"hidden_act": "relu"}, "`activation` must be one of"),
        ({"num_attention_heads": 3}, "multiple of `heads`"),
        ({"num_attention_heads": "2"}, "must be an int"),
        ({"layer_norm_eps": None}, "a number"),
        ({"use_swiglu_ffn": True}, "giant"),
    ],
)
def test_what_computes_something_else_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        model_of("vit", change)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("embeddings.position_embeddings", np.zeros((1, 9, 8), "float32"), "no square"),
        ("embeddings.position_embeddings", np.zeros((1, 10, 7), "float32"), "equal widths"),
        ("embeddings.patch_embeddings.projection.weight", np.zeros((8, 3), "float32"), "has patches"),
        ("encoder.layer.1.output.dense.weight", np.zeros((8, 9), "float32"), r"has shape \(8, 9\)"),
        ("encoder.layer.1.output.dense.bias", np.full(8, np.nan, "float32"), "NaN"),
        ("encoder.layer.1.new", np.zeros(3, "float32"), "unknown: encoder.layer.1.new"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        model_of("vit", **{name: value})


def test_a_shape_is_checked():
    with pytest.raises(ValueError, match="`depth` must be at least 1. Received: 0"):
        VisionTransformerShape(depth=0)
    shape = VisionTransformerShape((16, 16), patch=8, width=4, depth=1, heads=2, inner_width=4, leading_tokens=0)
    assert list(vision_transformer(shape).output) == ["layer_0", "layer_1", "normed"]
