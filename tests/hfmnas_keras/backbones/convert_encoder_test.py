import base64
import hashlib
import json

import numpy as np
import pytest

from hfmnas_keras.backbones.convert_encoder import convert_encoder
from hfmnas_keras.backbones.densenet import DENSENETS
from hfmnas_keras.backbones.efficientnet_lite import efficientnet_lite
from hfmnas_keras.backbones.encoder_backbone import encoder_backbone
from hfmnas_keras.backbones.encoder_folder import merges_path, read_description, read_encoder, vocabulary_path
from hfmnas_keras.backbones.hugging_face_folder import byte_pair_of_hugging_face
from hfmnas_keras.backbones.published_encoders import ENCODER_KINDS
from hfmnas_keras.backbones.residual_network import RESIDUAL_NETWORKS
from hfmnas_keras.backbones.vision_transformer_weights import FAMILIES
from hfmnas_keras.settings.backbones import EncoderBackboneSettings
from tests.hfmnas_keras.backbones.encoder_sources import BERT, SMALL_VOCABULARY, bert_folder, roberta_folder
from tests.hfmnas_keras.backbones.tensor_files import write_safetensors, write_torch
from tests.oracles.golden import byte_pair_golden, encoder_golden, vision_golden
from tests.oracles.seeded_tensors import seeded_input, seeded_tensor


def test_a_hugging_face_folder_becomes_an_encoder(tmp_path):
    source = bert_folder(tmp_path / "bert")
    description = convert_encoder("bert", source, tmp_path / "deep" / "encoder")
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["encoder"]
    assert description == read_description(tmp_path / "deep" / "encoder")
    assert (description.modality, description.max_tokens) == ("text", 48)
    assert (description.low_tap, description.high_tap) == ("layer_1", "layer_2")
    assert description.source_sha256 == hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest()
    assert vocabulary_path(tmp_path / "deep" / "encoder").read_text().splitlines() == SMALL_VOCABULARY
    model, _ = read_encoder(tmp_path / "deep" / "encoder")
    # Row by row the golden one's embeddings are the same for fewer words and positions only by name and shape, so the
    # figures differ from theirs; that every layer equals the reference, `bert_encoder_test.py` shows.
    assert np.isfinite(model(np.array(BERT["tokens"]))["layer_2"]).all()


def test_a_robertas_folder_becomes_an_encoder_with_padding_at_0(tmp_path):
    source = roberta_folder(tmp_path / "source")
    description = convert_encoder("roberta", source, tmp_path / "encoder")
    assert (description.tokenizer, description.max_tokens, description.high_tap) == ("byte_pair", 48, "layer_2")
    golden = byte_pair_golden()
    vocabulary = vocabulary_path(tmp_path / "encoder").read_text().splitlines()
    assert vocabulary == ["<pad>", "<s>", *golden["vocabulary"][2:]]
    assert merges_path(tmp_path / "encoder").read_text().splitlines() == golden["merges"]
    # What stands behind a text changes nothing.
    model, _ = read_encoder(tmp_path / "encoder")
    short, long = (model(np.array([tokens]))["layer_2"] for tokens in ([1, 9, 2], [1, 9, 2, 0, 0]))
    np.testing.assert_allclose(short, long[:, :3], rtol=1e-5, atol=1e-5)


def test_the_same_tokenizer_is_read_from_its_json(tmp_path):
    source = roberta_folder(tmp_path / "source")
    expected = byte_pair_of_hugging_face(source, 1000)
    golden = byte_pair_golden()
    ids = {piece: number for number, piece in enumerate(golden["vocabulary"])}
    tokenizer = {
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
        "model": {"type": "BPE", "vocab": ids, "merges": [merge.split() for merge in golden["merges"]]},
    }
    (source / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert byte_pair_of_hugging_face(source, 1000) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"type": "Unigram"}}, "must be byte-level BPE.*'Unigram'"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "adds no blank"),
        ({"model": {"type": "BPE", "vocab": {"<s>": 0, "<pad>": 2}, "merges": ["a b"]}}, "must be 0 to at most 9"),
        ({"model": {"type": "BPE", "vocab": {"[PAD]": 0}, "merges": ["a b"]}}, "must begin with <s>, <pad>"),
        ({"model": {"type": "BPE", "vocab": [], "merges": ["a b"]}}, "a mapping from pieces"),
        (
            {"model": {"type": "BPE", "vocab": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}, "merges": ["a"]}},
            "must be pairs of pieces",
        ),
    ],
)
def test_another_byte_pair_tokenizer_is_refused(tmp_path, change, message):
    tokenizer = {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}, **change}
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ValueError, match=message):
        byte_pair_of_hugging_face(tmp_path, 10)


def test_a_kind_is_held_to_its_family(tmp_path):
    with pytest.raises(ValueError, match="is 'roberta'. Received the kind 'bert'"):
        convert_encoder("bert", roberta_folder(tmp_path / "source"), tmp_path / "encoder")


@pytest.mark.parametrize("name", ["vit", "dinov2", "clip", "siglip"])
def test_a_vision_transformers_folder_becomes_an_encoder_of_pictures_of_any_size(tmp_path, name):
    golden = next(case for case in vision_golden()["encoders"] if case["name"] == name)
    tensors = {name: np.asarray(seeded_tensor(name, tuple(shape))) for name, shape in golden["tensors"].items()}
    write_safetensors(tmp_path / "model.safetensors", tensors)
    (tmp_path / "config.json").write_text(json.dumps(golden["config"]))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"resample": 2}))
    description = convert_encoder(name, tmp_path, tmp_path / "encoder")
    assert (description.low_tap, description.high_tap) == ("layer_1", "normed")
    assert (description.image_size, description.interpolation) == ((24, 24), "bilinear")
    case = golden["cases"][1]
    settings = EncoderBackboneSettings(str(tmp_path / "encoder"))
    backbone = encoder_backbone("image", (*case["sides"], 3), 3, settings, grid=(2, 5))
    high = backbone(seeded_input(case["input"], (1, *case["sides"], 3)))["high"]
    expected = np.reshape(case["outputs"]["normed"]["values"], case["outputs"]["normed"]["shape"])
    np.testing.assert_allclose(high, expected, rtol=1e-4, atol=1e-4)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"resample": 0}))
    with pytest.raises(ValueError, match="`resample`.*must be 2"):
        convert_encoder(name, tmp_path, tmp_path / "encoder")


@pytest.mark.parametrize(
    ("normalizer", "expected"),
    [
        ({}, (True, True)),
        ({"lowercase": False}, (False, False)),
        ({"lowercase": False, "strip_accents": True}, (False, True)),
        ({"strip_accents": False}, (True, False)),
    ],
)
def test_the_tokenizer_is_described(tmp_path, normalizer, expected):
    description = convert_encoder("bert", bert_folder(tmp_path / "bert", normalizer=normalizer), tmp_path / "encoder")
    assert (description.lower_case, description.strip_accents) == expected


@pytest.mark.parametrize(
    ("content", "expected"), [({}, (True, True)), ({"do_lower_case": False, "strip_accents": None}, (False, False))]
)
def test_without_its_file_the_tokenizers_configuration_is_read(tmp_path, content, expected):
    source = bert_folder(tmp_path / "bert")
    (source / "tokenizer.json").unlink()
    (source / "tokenizer_config.json").write_text(json.dumps(content))
    description = convert_encoder("bert", source, tmp_path / "encoder")
    assert (description.lower_case, description.strip_accents) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary": ["[PAD]", "[UNK]", "[CLS]"]}, r"with \[PAD\], \[UNK\], \[CLS\], \[SEP\] among them"),
        ({"vocabulary": ["[UNK]", "[PAD]", "[CLS]", "[SEP]"]}, "the first at its beginning"),
        ({"vocabulary": [*SMALL_VOCABULARY, "a"]}, f"{len(SMALL_VOCABULARY) + 1} lines, {len(SMALL_VOCABULARY)} diff"),
        ({"normalizer": {"type": "NFKC"}}, "behind 'NFKC'"),
        ({"normalizer": {"lowercase": "yes"}}, "must be true or false"),
        ({"normalizer": {"handle_chinese_chars": False}}, "does not part Chinese"),
        ({"config": {"model_type": "gpt2"}}, "one of bert, distilbert"),
    ],
)
def test_a_folder_of_something_else_is_an_error_and_leaves_nothing(tmp_path, arguments, message):
    source = bert_folder(tmp_path / "bert", **arguments)
    with pytest.raises(ValueError, match=message):
        convert_encoder("bert", source, tmp_path / "encoder")
    assert [path.name for path in tmp_path.iterdir()] == ["bert"]


@pytest.mark.parametrize(("name", "content"), [("config.json", "[1"), ("tokenizer.json", "[1]")])
def test_damaged_json_is_an_error(tmp_path, name, content):
    source = bert_folder(tmp_path / "bert")
    (source / name).write_text(content)
    with pytest.raises(ValueError, match=name):
        convert_encoder("bert", source, tmp_path / "encoder")


def test_a_missing_file_is_named(tmp_path):
    source = bert_folder(tmp_path / "bert")
    (source / "vocab.txt").unlink()
    with pytest.raises(OSError, match="vocab.txt"):
        convert_encoder("bert", source, tmp_path / "encoder")


def test_a_torch_file_becomes_an_encoder(tmp_path):
    shapes = published_shapes(efficientnet_lite(0))
    source = write_torch(tmp_path / "lite0.pth", {name: seeded_tensor(name, shape) for name, shape in shapes.items()})
    description = convert_encoder("efficientnet_lite0", source, tmp_path / "encoder")
    assert (description.modality, description.image_size, description.max_tokens) == ("image", (224, 224), None)
    model, read = read_encoder(tmp_path / "encoder")
    assert read == description
    kernel = model.get_layer("stem").kernel.numpy()
    np.testing.assert_array_equal(kernel, seeded_tensor("_conv_stem.weight", (32, 3, 3, 3)).transpose(2, 3, 1, 0))


def published_shapes(model):
    """Names and shapes that the published network of these layers has; that they are right, the oracle shows."""
    shapes, names = {}, {"stem": ("_conv_stem", "_bn0"), "top": ("_conv_head", "_bn1")}
    blocks = [layer.name.removesuffix("_depthwise") for layer in model.layers if layer.name.endswith("_depthwise")]
    for index, block in enumerate(blocks):
        for number, part in enumerate(("expand", "depthwise", "project")):
            names[f"{block}_{part}"] = (f"_blocks.{index}._{part}_conv", f"_blocks.{index}._bn{number}")
    for layer, (convolution, normalization) in names.items():
        if layer in {one.name for one in model.layers}:
            *sides, channels, filters = model.get_layer(layer).kernel.shape
            depthwise = layer.endswith("_depthwise")
            shapes[f"{convolution}.weight"] = (channels, 1, *sides) if depthwise else (filters, channels, *sides)
            for name in ("weight", "bias", "running_mean", "running_var"):
                shapes[f"{normalization}.{name}"] = (channels if depthwise else filters,)
    return shapes


def test_another_torch_file_is_no_efficientnet(tmp_path):
    (tmp_path / "x.pth").write_bytes(base64.b64decode(encoder_golden()["torch_files"]["legacy"]))
    with pytest.raises(ValueError, match="do not fit `efficientnet_lite2`: missing: _conv_stem.weight"):
        convert_encoder("efficientnet_lite2", tmp_path / "x.pth", tmp_path / "encoder")
    write_safetensors(tmp_path / "x.safetensors", {"a": np.zeros(2, "float32")})
    with pytest.raises(ValueError, match="unknown: a"):
        convert_encoder("efficientnet_lite0", tmp_path / "x.safetensors", tmp_path / "encoder")


def test_every_kind_that_is_listed_is_converted(tmp_path):
    """As far as the file that it misses."""
    for kind in ENCODER_KINDS:
        with pytest.raises(OSError):
            convert_encoder(kind, tmp_path / "nowhere", tmp_path / "encoder")
    networks = {*RESIDUAL_NETWORKS, *DENSENETS, *FAMILIES}
    assert networks < set(ENCODER_KINDS)


def test_an_unknown_kind_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="one of bert, roberta, efficientnet_lite0.* Received: 'whisper'"):
        convert_encoder("whisper", tmp_path, tmp_path / "encoder")
