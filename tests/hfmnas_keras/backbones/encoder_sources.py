"""Small encoders as they are published, and converted."""

import json

from hfmnas_keras.backbones.convert_encoder import convert_encoder
from hfmnas_keras.backbones.efficientnet_lite import efficientnet_lite
from hfmnas_keras.backbones.encoder_folder import EncoderDescription, write_encoder
from tests.hfmnas_keras.backbones.tensor_files import write_safetensors
from tests.oracles.golden import byte_pair_golden, encoder_golden, wordpiece_golden
from tests.oracles.seeded_tensors import seeded_tensor

BERT = next(case for case in encoder_golden()["berts"] if case["name"] == "bert")
#: With the letters of the texts that tests make.
SMALL_VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz", *".,!?", "##a", "##b", "the"]


def bert_folder(folder, vocabulary=None, normalizer=None, config=None):
    """A Hugging Face folder of a random BERT of two layers."""
    vocabulary = SMALL_VOCABULARY if vocabulary is None else vocabulary
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {**BERT["tensors"], "embeddings.word_embeddings.weight": (max(40, len(vocabulary)), 8)}
    # Longer texts than those of the golden values.
    shapes["embeddings.position_embeddings.weight"] = (48, 8)
    tensors = {name: seeded_tensor(name, tuple(shape)) for name, shape in shapes.items()}
    write_safetensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps({**BERT["config"], **(config or {})}))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    normalizer = {"type": "BertNormalizer", "lowercase": True, "strip_accents": None, **(normalizer or {})}
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"}
    tokenizer = {"model": {**model, "max_input_chars_per_word": 100}, "normalizer": normalizer}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def roberta_folder(folder):
    """A Hugging Face folder of a random RoBERTa of two layers, with the tokenizer of `byte_pair_golden`."""
    folder.mkdir(parents=True, exist_ok=True)
    golden, case = byte_pair_golden(), next(case for case in encoder_golden()["berts"] if case["name"] == "roberta")
    vocabulary = golden["vocabulary"]
    shapes = {**case["tensors"], "embeddings.word_embeddings.weight": (len(vocabulary) + 1, 8)}
    shapes["embeddings.position_embeddings.weight"] = (50, 8)
    tensors = {name: seeded_tensor(name, tuple(shape)) for name, shape in shapes.items()}
    write_safetensors(folder / "model.safetensors", {f"roberta.{name}": tensor for name, tensor in tensors.items()})
    (folder / "config.json").write_text(json.dumps(case["config"]))
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(golden["merges"]) + "\n", encoding="utf-8")
    return folder


def text_encoder(tmp_path, **arguments):
    """The folder of a small encoder of texts."""
    convert_encoder("bert", bert_folder(tmp_path / "published_bert", **arguments), tmp_path / "text_encoder")
    return tmp_path / "text_encoder"


def image_encoder(tmp_path):
    """The folder of a narrow EfficientNet-Lite, of random weights."""
    model = efficientnet_lite(0, width=0.1)
    taps = tuple(f"stage_{number}" for number in range(1, 8)) + ("top",)
    description = EncoderDescription(
        "efficientnet_lite0", "image", taps, "stage_5", "stage_6", "0" * 64, None, None, None, (224, 224), "bicubic"
    )
    write_encoder(tmp_path / "image_encoder", model, description)
    return tmp_path / "image_encoder"


def golden_vocabulary():
    return wordpiece_golden()["vocabulary"]
