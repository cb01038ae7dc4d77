import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.backbones.encoder_backbone import encoder_backbone
from hfmnas_keras.backbones.word_topics import WordTopics
from hfmnas_keras.pretraining.backbone_recipe import recipe_of_kind
from hfmnas_keras.pretraining.pretraining import pretrain_backbones
from hfmnas_keras.settings.backbones import EncoderBackboneSettings
from hfmnas_keras.settings.pretraining import PretrainingSettings
from tests.hfmnas_keras.backbones.encoder_sources import image_encoder, text_encoder

TOKENS = np.array([[2, 7, 8, 9, 3, 0, 0, 0], [2, 5, 3, 0, 0, 0, 0, 0]])


def of_text(tmp_path, **settings):
    return encoder_backbone("text", (8,), 3, EncoderBackboneSettings(str(text_encoder(tmp_path)), **settings))


def what_changes(backbone, inputs, steps=2):
    """Paths of the variables that two steps of gradient descent change, and of those that learn."""
    before = {variable.path: ops.convert_to_numpy(variable) for variable in backbone.variables}
    network = keras.Model(backbone.input, backbone.output["logits"])
    network.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for _ in range(steps):
        network.train_on_batch(inputs, np.arange(len(inputs)) % 3)
    changed = {
        variable.path
        for variable in backbone.variables
        if "seed" not in variable.path and (before[variable.path] != ops.convert_to_numpy(variable)).any()
    }
    return changed, {variable.path for variable in backbone.trainable_variables}


def test_the_last_block_learns_and_nothing_before_it(tmp_path):
    backbone = of_text(tmp_path, train_last=1)
    changed, learning = what_changes(backbone, TOKENS)
    # But the head's statistics, which no gradient moves.
    changed = {path for path in changed if "moving" not in path}
    assert {path.split("/")[0] for path in learning} == {
        *("layer_2_attention", "layer_2_attention_normalization", "layer_2_inner", "layer_2_outer"),
        *("layer_2_normalization", "head"),
    }
    # A bias of the keys shifts all scores of a query alike, which softmax does not see.
    assert learning - changed <= {path for path in learning if "key/bias" in path}
    assert changed <= learning


def test_matrices_beside_queries_and_values_learn_and_nothing_else_of_the_encoder(tmp_path):
    changed, learning = what_changes(of_text(tmp_path, lora_rank=2), TOKENS)
    changed = {path for path in changed if "moving" not in path}
    of_encoder = {path for path in learning if path.startswith("layer_")}
    assert len(of_encoder) == 2 * 2 * 2 and all("lora_kernel" in path for path in of_encoder)
    assert {path.split("/")[1] for path in of_encoder} == {"query", "value"}
    assert len(learning - of_encoder) == 4
    # The low tap is the first layer's, so that all matrices matter to the head's.
    assert changed == learning


def test_a_file_has_the_matrices_added_and_computes_the_same(tmp_path):
    keras.utils.set_random_seed(0)
    frozen, backbone = of_text(tmp_path), of_text(tmp_path, lora_rank=2)
    # They begin at zero.
    np.testing.assert_allclose(backbone(TOKENS)["high"], frozen(TOKENS)["high"], rtol=1e-6)
    what_changes(backbone, TOKENS)
    assert np.abs(np.asarray(backbone(TOKENS)["high"]) - frozen(TOKENS)["high"]).max() > 1e-3
    backbone.save(tmp_path / "x.keras")
    merged = keras.saving.load_model(tmp_path / "x.keras", compile=False)
    assert len(merged.weights) == len(frozen.weights) == len(backbone.weights) - 8
    for tap, expected in backbone(TOKENS).items():
        np.testing.assert_allclose(merged(TOKENS)[tap], expected, rtol=1e-5, atol=1e-6)


def test_batch_normalisations_stay_where_blocks_of_a_picture_learn(tmp_path):
    settings = EncoderBackboneSettings(str(image_encoder(tmp_path)), train_last=2)
    backbone = encoder_backbone("image", (32, 32, 3), 3, settings, (1, 1))
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")
    changed, learning = what_changes(backbone, pictures)
    layers = {path.split("/")[0] for path in learning}
    # The high tap is stage 6.
    assert {name[:7] for name in layers} == {"stage_5", "stage_6", "head"}
    assert not any("stage" in path and "normalization" in path for path in changed)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (text_encoder, {"train_last": 3}, "`train_last` must be less than .*layer_2.* Received: 3"),
        (text_encoder, {"train_last": 2, "high_tap": "layer_1"}, "`train_last` must be less than"),
        (image_encoder, {"lora_rank": 2}, "needs an encoder with attention"),
    ],
)
def test_what_cannot_learn_is_an_error(tmp_path, make, settings, message):
    modality, shape = ("text", (8,)) if make is text_encoder else ("image", (32, 32, 3))
    with pytest.raises(ValueError, match=message):
        encoder_backbone(modality, shape, 3, EncoderBackboneSettings(str(make(tmp_path)), **settings))


def test_an_encoder_that_learns_is_cross_fitted(tmp_path):
    settings = EncoderBackboneSettings(str(text_encoder(tmp_path)), lora_rank=2, learning_rate=0.01)
    recipe = recipe_of_kind("text", (8,), 2, settings)
    assert recipe.sees_labels
    rows = np.random.default_rng(0).integers(4, 30, (24, 8))
    ids = [str(number) for number in range(24)]
    labels = np.arange(24) % 2
    fit = PretrainingSettings(folds=2, max_epochs=2, batch_size=8)
    record = pretrain_backbones({"text": recipe}, {"text": rows}, labels, ids, {"text": rows}, labels, tmp_path, fit)
    assert (record["modalities"]["text"]["sees_labels"], record["modalities"]["text"]["folds"]) == (True, 2)
    for name in ("reference", "fold_0", "fold_1"):
        saved = keras.saving.load_model(tmp_path / "text" / f"{name}.keras", compile=False)
        assert not any("lora" in variable.path for variable in saved.variables)


def test_topics_are_those_of_the_train_rows(tmp_path):
    generator = np.random.default_rng(0)
    rows = {split: generator.integers(4, 10, size=(number, 8)) for split, number in (("train", 24), ("dev", 8))}
    settings = EncoderBackboneSettings(str(text_encoder(tmp_path)), word_topics=3)
    pretrain_backbones(
        {"text": recipe_of_kind("text", (8,), 2, settings)},
        {"text": rows["train"]},
        np.arange(24) % 2,
        [str(number) for number in range(24)],
        {"text": rows["dev"]},
        np.arange(8) % 2,
        tmp_path / "backbones",
        PretrainingSettings(max_epochs=1, folds=2, batch_size=8),
    )
    backbone = keras.saving.load_model(tmp_path / "backbones" / "text" / "reference.keras", compile=False)
    alone = WordTopics(backbone.get_layer("word_topics").vocabulary_size, 3)
    alone.build((None, 8))
    alone.adapt_rows(rows["train"])
    topics = ops.convert_to_numpy(backbone(rows["dev"])["high"])[:, -3:]
    np.testing.assert_allclose(topics, alone(rows["dev"]), atol=1e-6)
    assert np.abs(topics).max() > 0.01
