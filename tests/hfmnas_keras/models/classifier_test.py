import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.backbones.image_backbone import image_backbone
from hfmnas_keras.backbones.text_backbone import text_backbone
from hfmnas_keras.evidence.opinion_report import OpinionReport
from hfmnas_keras.models.classifier import multimodal_classifier
from hfmnas_keras.settings.backbones import ImageBackboneSettings, TextBackboneSettings


def backbones():
    text = TextBackboneSettings(embedding_dim=4, hidden_units=(4, 6), pieces=2)
    image = ImageBackboneSettings(depth=16, width=1 / 32)
    return {"image": image_backbone((8, 8, 3), 3, image, (2, 2)), "text": text_backbone(9, 5, 3, text)}


def fusion_network(names=("text_high", "image_high", "tokens"), listed=False, text_width=6):
    """Inputs as a dict, or as the list of named ones that `searched_model` has."""
    shapes = {"text_high": (text_width,), "image_high": (2, 2, 16), "tokens": (5,)}
    dtypes = {"tokens": "int64"}
    inputs = {name: keras.Input(shapes[name], dtype=dtypes.get(name, "float32"), name=name) for name in names}
    embedded = {**inputs, **({"tokens": keras.layers.Embedding(9, 3)(inputs["tokens"])} if "tokens" in names else {})}
    flat = [keras.layers.Flatten()(tensor) for tensor in embedded.values()]
    joined = keras.layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
    return keras.Model(list(inputs.values()) if listed else inputs, keras.layers.Dense(3, name="logits")(joined))


ROWS = {
    "image": np.random.default_rng(0).uniform(0, 255, size=(4, 8, 8, 3)).astype("float32"),
    "tokens": np.random.default_rng(1).integers(0, 9, size=(4, 5)),
}


@pytest.mark.parametrize("multi_label", [False, True])
def test_is_backbones_then_fusion_then_report(multi_label, tmp_path):
    parts, fusion = backbones(), fusion_network(listed=multi_label)
    classifier = multimodal_classifier(fusion, parts, multi_label)
    outputs = classifier(ROWS)
    image, text = parts["image"](ROWS["image"]), parts["text"](ROWS["tokens"])
    logits = fusion(
        {"text_high": text["high"], "image_high": image["high"], "tokens": ops.convert_to_tensor(ROWS["tokens"])}
    )
    expected = OpinionReport(multi_label)({"fusion": logits, "image": image["logits"], "text": text["logits"]})
    assert set(outputs) == set(expected) and len(outputs) == 7
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, atol=1e-5)

    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")(ROWS)
    for name, value in expected.items():
        np.testing.assert_allclose(loaded[name], value, atol=1e-5)


def test_sub_words_are_for_the_backbone_alone():
    text = TextBackboneSettings(embedding_dim=4, hidden_units=(4, 6), pieces=2)
    backbone = text_backbone(9, 5, 3, text, subword_vocabulary_size=9, max_subwords=4)
    fusion = fusion_network(("text_high", "tokens"))
    tokens = np.random.default_rng(2).integers(1, 9, size=(4, 9))
    outputs = multimodal_classifier(fusion, {"text": backbone}, False)({"tokens": tokens})
    made = backbone(tokens)
    logits = fusion({"text_high": made["high"], "tokens": ops.convert_to_tensor(tokens[:, :5])})
    expected = OpinionReport(False)({"fusion": logits, "text": made["logits"]})
    np.testing.assert_allclose(outputs["probabilities"], expected["probabilities"], atol=1e-5)


def test_batch_of_one_equals_the_batch():
    classifier = multimodal_classifier(fusion_network(), backbones(), False)
    whole, single = classifier(ROWS), classifier({name: rows[:1] for name, rows in ROWS.items()})
    for name in whole:
        np.testing.assert_allclose(whole[name][:1], single[name], atol=1e-5)


def test_one_modality_is_enough():
    classifier = multimodal_classifier(fusion_network(("image_high",)), {"image": backbones()["image"]}, False)
    assert set(classifier({"image": ROWS["image"]})) == {
        "probabilities",
        "image_belief",
        "image_uncertainty",
        "conflict",
        "uncertainty",
    }


def test_training_reaches_unfrozen_backbones_only():
    parts = backbones()
    parts["image"].trainable = False
    classifier = multimodal_classifier(fusion_network(), parts, False)
    paths = {variable.path for variable in classifier.trainable_variables}
    assert any("maxout" in path for path in paths) and not any("block1" in path for path in paths)


def test_features_that_do_not_fit_are_a_clear_error():
    with pytest.raises(ValueError, match="`text_high` of shape"):
        multimodal_classifier(fusion_network(), {"image": backbones()["image"]}, False)
    with pytest.raises(ValueError, match="give it \\(6,\\)"):
        multimodal_classifier(fusion_network(text_width=7), backbones(), False)
