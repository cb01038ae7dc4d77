import keras
import numpy as np
import pytest

from hfmnas_keras.backbones.bert_encoder import BertShape, bert_encoder, bert_from_tensors
from tests.oracles.golden import encoder_golden
from tests.oracles.seeded_tensors import seeded_tensor

CASES = {case["name"]: case for case in encoder_golden()["berts"]}


def tensors_of(case, prefix=""):
    return {prefix + name: seeded_tensor(name, tuple(shape)) for name, shape in case["tensors"].items()}


def assert_equals_golden(model, case):
    tokens = np.array(case["tokens"])
    if case["name"] == "roberta":
        # Here its first two ids change places.
        tokens = np.where(tokens < 2, 1 - tokens, tokens)
    outputs = model(tokens)
    assert sorted(outputs) == sorted(case["outputs"])
    for name, golden in case["outputs"].items():
        expected = np.reshape(golden["values"], golden["shape"])
        # What stands where a text is padded concerns nobody.
        received = np.asarray(outputs[name]) * (tokens > 0)[..., None]
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("name", CASES)
def test_every_layer_equals_transformers(name):
    assert_equals_golden(bert_from_tensors(CASES[name]["config"], tensors_of(CASES[name])), CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_a_model_under_a_training_head_is_read_too(name):
    tensors = tensors_of(CASES[name], prefix=f"{name}.")
    tensors |= {"cls.predictions.bias": np.zeros(40, "float32"), "classifier.weight": np.zeros((2, 8), "float32")}
    assert_equals_golden(bert_from_tensors(CASES[name]["config"], tensors), CASES[name])


def test_the_names_of_old_files_are_known():
    old = {name: name for name in tensors_of(CASES["bert"])}
    old = {
        name: new.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        for name, new in old.items()
    }
    tensors = {old[name]: values for name, values in tensors_of(CASES["bert"]).items()}
    assert_equals_golden(bert_from_tensors(CASES["bert"]["config"], tensors), CASES["bert"])


def test_the_file_holds_built_in_layers_alone_and_keeps_every_tap(tmp_path):
    model = bert_from_tensors(CASES["bert"]["config"], tensors_of(CASES["bert"]))
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}
    model.save(tmp_path / "bert.keras")
    assert_equals_golden(keras.saving.load_model(tmp_path / "bert.keras", compile=False), CASES["bert"])


def test_padding_behind_a_text_changes_nothing():
    model = bert_from_tensors(CASES["bert"]["config"], tensors_of(CASES["bert"]))
    short, long = np.array([[2, 7, 3]]), np.array([[2, 7, 3, 0, 0, 0, 0, 0]])
    np.testing.assert_allclose(model(short)["layer_2"], model(long)["layer_2"][:, :3], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "electra"}, "must be one of bert, distilbert, roberta. Received: 'electra'"),
        ({"hidden_act": "gelu_new"}, "exact 'gelu'. Received: 'gelu_new'"),
        ({"position_embedding_type": "relative_key"}, "absolute positions"),
        ({"is_decoder": True}, "is_decoder=True"),
        ({"num_attention_heads": 3}, "multiple of `heads`"),
        ({"num_attention_heads": "2"}, "must be an int"),
        ({"num_attention_heads": 2.0}, "must be an int"),
        ({"pad_token_id": 1}, "`pad_token_id` in config.json must be 0. Received: 1"),
        ({"layer_norm_eps": -1.0}, "`epsilon` must be at least 0"),
    ],
)
def test_what_computes_something_else_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        bert_from_tensors({**CASES["bert"]["config"], **change}, tensors_of(CASES["bert"]))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("embeddings.word_embeddings.weight", None, "has a matrix embeddings.word_embeddings.weight"),
        ("encoder.layer.1.output.dense.bias", None, "missing: encoder.layer.1.output.dense.bias"),
        ("encoder.layer.1.attention.self.query.weight", np.zeros((8, 9), "float32"), r"has shape \(8, 9\)"),
        ("encoder.layer.1.output.dense.bias", np.full(8, np.nan, "float32"), "NaN"),
        ("embeddings.token_type_embeddings.weight", np.zeros((2, 7), "float32"), "equal widths"),
        ("encoder.layer.1.something.new", np.zeros(3, "float32"), "unknown: encoder.layer.1.something.new"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name, value, message):
    tensors = tensors_of(CASES["bert"])
    tensors.pop(name, None)
    if value is not None:
        tensors[name] = value
    with pytest.raises(ValueError, match=message):
        bert_from_tensors(CASES["bert"]["config"], tensors)


def test_a_shape_is_checked():
    with pytest.raises(ValueError, match="`depth` must be at least 1. Received: 0"):
        BertShape(depth=0)
    shape = BertShape(vocabulary_size=5, width=4, depth=1, heads=2, inner_width=4, max_positions=3)
    assert list(bert_encoder(shape).output) == ["layer_0", "layer_1"]
