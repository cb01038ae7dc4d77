"""A pre-trained encoder on its way from the settings to Transform and BackboneTrainer."""

import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf
from tfx.types import channel, standard_artifacts

from components.backbone_trainer.component import BackboneTrainer
from components.backbone_trainer.known_pieces import tell_known_pieces
from components.backbone_trainer.recipes import make_recipe
from components.settings_json import settings_from_json, settings_to_json
from components.transform.encoder_preparation import encoder_preparation, tokenizer_of
from hfmnas_keras.preparation.word_piece import WordPiece
from hfmnas_keras.settings.backbones import EncoderBackboneSettings, TextBackboneSettings, backbone_settings_class
from hfmnas_keras.settings.keras_backbone import KerasBackboneSettings
from hfmnas_keras.settings.pretraining import PretrainingSettings
from tests.hfmnas_keras.backbones.encoder_sources import bert_folder, image_encoder, text_encoder


def trainer(**backbones):
    return BackboneTrainer(
        examples=channel.Channel(type=standard_artifacts.Examples),
        transform_graph=channel.Channel(type=standard_artifacts.TransformGraph),
        num_outputs=3,
        multi_label=False,
        grid=(4, 4),
        backbones=backbones,
        pretraining=PretrainingSettings(),
        checkpoint_root="checkpoints",
    ).exec_properties


@pytest.mark.parametrize(("modality", "row_shape"), [("text", (8,)), ("image", (32, 48, 3))])
def test_the_recipe_is_of_a_backbone_that_sees_no_label(tmp_path, modality, row_shape):
    folder = text_encoder(tmp_path) if modality == "text" else image_encoder(tmp_path)
    settings = EncoderBackboneSettings(str(folder), learning_rate=0.01)
    kind = json.loads(settings_to_json(settings))["kind"]
    assert settings_from_json(backbone_settings_class(modality, kind), settings_to_json(settings)) == settings
    recipe = make_recipe(modality, settings, 3, row_shape, (2, 1), transform_graph=None)
    assert (recipe.sees_labels, recipe.learning_rate, recipe.weights) == (False, 0.01, None)
    assert recipe.build().output["logits"].shape == (None, 3)


def test_only_texts_and_pictures_have_encoders():
    assert backbone_settings_class("text") is TextBackboneSettings
    with pytest.raises(ValueError, match="of the kind 'encoder' is for text and image. Received: video"):
        backbone_settings_class("video", "encoder")
    with pytest.raises(ValueError, match="no kind of backbone 'maxout'. Known ones: encoder, keras"):
        backbone_settings_class("text", "maxout")


def test_the_cache_sees_another_encoder_in_the_same_place(tmp_path):
    settings = EncoderBackboneSettings(str(text_encoder(tmp_path)))
    first = trainer(text=settings)["files_fingerprint"]
    assert trainer(text=settings)["files_fingerprint"] == first
    description = tmp_path / "text_encoder" / "encoder.json"
    description.write_text(description.read_text().replace('"max_tokens": 48', '"max_tokens": 47'))
    assert trainer(text=settings)["files_fingerprint"] != first


def test_what_does_not_fit_shows_before_the_run(tmp_path):
    folder = str(text_encoder(tmp_path))
    with pytest.raises(ValueError, match="`high_tap` must be an output of the encoder"):
        trainer(text=EncoderBackboneSettings(folder, high_tap="layer_12"))
    with pytest.raises(ValueError, match="of the modality text. Received: image"):
        trainer(image=EncoderBackboneSettings(folder))
    with pytest.raises(ValueError, match="There is no encoder in"):
        trainer(text=EncoderBackboneSettings(str(tmp_path / "nowhere")))


def test_texts_and_pictures_are_prepared_as_the_encoders_were_trained(tmp_path):
    text = EncoderBackboneSettings(str(text_encoder(tmp_path, normalizer={"lowercase": False})))
    image = EncoderBackboneSettings(str(image_encoder(tmp_path)))
    vocabulary = tmp_path / "text_encoder" / "vocabulary.txt"
    assert encoder_preparation([text, image]) == {
        "tokenizer": {
            "vocabulary": str(vocabulary),
            "sha256": hashlib.sha256(vocabulary.read_bytes()).hexdigest(),
            "lower_case": False,
            "strip_accents": False,
        },
        "interpolation": "bicubic",
    }
    assert encoder_preparation([TextBackboneSettings()]) == {}


def test_a_given_model_is_prepared_for_as_its_settings_say(tmp_path):
    source = bert_folder(tmp_path / "published", normalizer={"lowercase": False})
    text = KerasBackboneSettings("x.keras", tokenizer=str(source))
    entries = encoder_preparation([text, KerasBackboneSettings("y.keras", interpolation="bicubic")])
    digest = hashlib.sha256((source / "vocab.txt").read_bytes()).hexdigest()
    tokenizer = {"vocabulary": str(source / "vocab.txt"), "lower_case": False, "strip_accents": False, "sha256": digest}
    assert entries == {"tokenizer": tokenizer, "interpolation": "bicubic"}
    encoder = str(text_encoder(tmp_path))
    entries = encoder_preparation([KerasBackboneSettings("x.keras", tokenizer=encoder)])
    assert entries["tokenizer"]["vocabulary"] == f"{encoder}/vocabulary.txt"
    with pytest.raises(ValueError, match="reads no texts"):
        encoder_preparation([KerasBackboneSettings("x.keras", tokenizer=str(image_encoder(tmp_path)))])


def test_another_tokenizer_than_wordpiece_is_an_error(tmp_path):
    source = bert_folder(tmp_path / "published")
    (source / "tokenizer.json").write_text(json.dumps({"model": {"type": "Unigram"}}))
    with pytest.raises(ValueError, match="must be BERT's WordPiece.*'Unigram'|must be BERT's WordPiece"):
        encoder_preparation([KerasBackboneSettings("x.keras", tokenizer=str(source))])


def test_the_cache_sees_another_model_and_another_function(tmp_path, monkeypatch):
    path, module = tmp_path / "x.keras", tmp_path / "given_by_a_test.py"
    path.write_bytes(b"one")
    first = trainer(image=KerasBackboneSettings(str(path)))["files_fingerprint"]
    path.write_bytes(b"two")
    assert trainer(image=KerasBackboneSettings(str(path)))["files_fingerprint"] != first
    monkeypatch.syspath_prepend(str(tmp_path))
    module.write_text("def network(input_shape): pass\n")
    settings = KerasBackboneSettings("given_by_a_test:network")
    first = trainer(image=settings)["files_fingerprint"]
    module.write_text("def network(input_shape): return 1\n")
    assert trainer(image=settings)["files_fingerprint"] != first
    for model, message in (("nowhere.keras", "There is no file"), ("given_by_a_test:none", "there is no function")):
        with pytest.raises(ValueError, match=message):
            trainer(image=KerasBackboneSettings(model))


def test_what_an_encoder_knows_of_the_texts_is_told(tmp_path, caplog):
    settings = EncoderBackboneSettings(str(text_encoder(tmp_path)))
    tokenize = WordPiece(tokenizer_of(settings.encoder)["vocabulary"], max_tokens=8)
    with open(tokenizer_of(settings.encoder)["vocabulary"], encoding="utf-8") as file:
        known = next(piece for piece in file.read().split() if piece.isalpha() and len(piece) > 2)
    texts = {
        "train": [known, f"{known} {known}", f"{known} 😀"],
        # None of their words is in the vocabulary, and one has no word at all.
        "dev": ["สวัสดีชาวโลก", "😀😀", f"{known} สวัสดี", ""],
    }
    tokens = {split: tokenize(tf.constant(of_split)).numpy() for split, of_split in texts.items()}
    with caplog.at_level("INFO", logger="absl"):
        found = tell_known_pieces(settings, tokens)
    assert found["train"] == {"known": pytest.approx(4 / 5), "without": 0}
    assert found["dev"] == {"known": pytest.approx(1 / 4), "without": 3}
    assert "80.0% of those of train, 25.0% of those of dev" in caplog.text
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "{'dev': 3} have no word that the encoder" in warning


def test_an_encoder_that_knows_all_warns_of_nothing(tmp_path, caplog):
    settings = EncoderBackboneSettings(str(text_encoder(tmp_path)))
    tell_known_pieces(settings, {"train": np.array([[0, 0]]), "dev": np.array([[0, 0]])[:0]})
    assert tell_known_pieces(TextBackboneSettings(), {"train": np.zeros([1, 2])}) is None
