import dataclasses
import json

import keras
import numpy as np
import pytest

from hfmnas_keras.backbones import encoder_folder
from hfmnas_keras.backbones.encoder_folder import (
    EncoderDescription,
    find_encoder,
    read_description,
    read_encoder,
    vocabulary_path,
    write_encoder,
)

DESCRIPTION = EncoderDescription(
    "bert", "text", ("layer_0", "layer_1"), "layer_0", "layer_1", "0" * 64, 16, True, False
)


def small_model(names=("layer_0", "layer_1")):
    tokens = keras.Input((None,), dtype="int64", name="tokens")
    hidden = keras.layers.Embedding(5, 2)(tokens)
    return keras.Model(tokens, dict.fromkeys(names, hidden))


def written(folder, **changes):
    description = dataclasses.replace(DESCRIPTION, **changes)
    write_encoder(folder, small_model(), description, ["[PAD]", "é", "##b"])
    return folder


def test_what_is_written_is_read(tmp_path):
    folder = written(tmp_path / "encoder")
    model, description = read_encoder(folder)
    assert description == DESCRIPTION
    assert tuple(model(np.zeros((1, 3)))["layer_1"].shape) == (1, 3, 2)
    assert vocabulary_path(folder).read_text(encoding="utf-8") == "[PAD]\né\n##b\n"
    assert find_encoder(str(folder)) == folder


def test_an_encoder_is_replaced_and_nothing_else(tmp_path):
    folder = written(tmp_path / "encoder")
    written(folder, max_tokens=32)
    assert read_description(folder).max_tokens == 32
    (tmp_path / "photos").mkdir()
    with pytest.raises(ValueError, match="is no encoder's folder"):
        written(tmp_path / "photos")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["encoder", "photos"]


def test_a_name_is_looked_for_beside_the_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_folder.sys, "prefix", str(tmp_path))
    with pytest.raises(ValueError, match="Run `hfmnas encoder fetch minilm`"):
        find_encoder("minilm")
    folder = written(tmp_path / "share" / "hfmnas-keras" / "encoders" / "minilm")
    assert find_encoder("minilm") == folder
    with pytest.raises(ValueError, match="Name a folder that `hfmnas encoder convert` wrote"):
        find_encoder(str(tmp_path / "other"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modality": "video"}, "An encoder of texts has"),
        ({"max_tokens": None}, "An encoder of texts has"),
        ({"image_size": (8, 8)}, "An encoder of texts has"),
        ({"modality": "image"}, "An encoder of texts has"),
        ({"low_tap": "layer_7"}, "must be among"),
    ],
)
def test_a_description_is_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(DESCRIPTION, **changes)


def test_model_and_description_must_fit(tmp_path):
    with pytest.raises(ValueError, match=r"outputs \['other'\]"):
        write_encoder(tmp_path / "x", small_model(["other"]), DESCRIPTION, ["[PAD]"])
    with pytest.raises(ValueError, match="and no other, has a vocabulary"):
        write_encoder(tmp_path / "x", small_model(), DESCRIPTION)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"version": 2}', '{"version": 1, "kind": "bert"}', "9" * 1_000_001, "[" * 100_000]
)
def test_a_damaged_description_is_an_error(tmp_path, content):
    folder = written(tmp_path / "encoder")
    (folder / "encoder.json").write_text(content)
    with pytest.raises(ValueError, match="does not describe an encoder"):
        read_description(folder)


def test_a_network_of_another_encoder_is_an_error(tmp_path):
    folder = written(tmp_path / "encoder")
    content = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps({**content, "taps": ["layer_0", "layer_1", "layer_2"]}))
    with pytest.raises(ValueError, match="must have one input and the outputs"):
        read_encoder(folder)


def test_code_in_the_network_is_not_run(tmp_path):
    folder = written(tmp_path / "encoder")
    tokens = keras.Input((None,), dtype="int64", name="tokens")
    hidden = keras.layers.Lambda(lambda x: 1 / 0 if x is None else x)(tokens)
    keras.Model(tokens, {"layer_0": hidden, "layer_1": hidden}).save(folder / "encoder.keras")
    with pytest.raises(ValueError, match="cannot be loaded"):
        read_encoder(folder)
