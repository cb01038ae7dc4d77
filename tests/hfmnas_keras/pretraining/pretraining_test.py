import dataclasses
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import f1_score

from hfmnas_keras.data.decoded_rows import DecodedRows
from hfmnas_keras.data.modalities import MODALITIES
from hfmnas_keras.evidence.thresholds import choose_thresholds
from hfmnas_keras.pretraining.backbone_fit import BackboneFit
from hfmnas_keras.pretraining.backbone_recipe import BackboneRecipe, image_recipe, text_recipe
from hfmnas_keras.pretraining.cross_fitting import fold_keys, folds_of
from hfmnas_keras.pretraining.extraction import extract_features, load_backbone
from hfmnas_keras.pretraining.pretraining import pretrain_backbones
from hfmnas_keras.settings.backbones import ImageBackboneSettings, TextBackboneSettings
from hfmnas_keras.settings.pretraining import PretrainingSettings

TEXT = TextBackboneSettings(embedding_dim=8, hidden_units=(6, 10), pieces=2, dropout=0.1, token_dropout=0.1)
IMAGE = ImageBackboneSettings(depth=16, width=1 / 32, train_trunk=False, head_dropout=0.0)
SETTINGS = PretrainingSettings(max_epochs=24, batch_size=16, learning_rate=0.02, folds=2)


def rows(num_rows, seed, classes=3):
    """Texts whose first word tells the class, pictures whose brightest channel does."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=num_rows)
    tokens = rng.integers(4, 12, size=(num_rows, 5))
    tokens[:, 0] = labels + 1
    tokens[:, 4] = 0
    pictures = rng.integers(0, 60, size=(num_rows, 8, 8, 3), dtype="uint8")
    pictures[np.arange(num_rows), :, :, labels] += 150
    return labels, {"text": tokens, "image": pictures}, [f"{seed}/{number}" for number in range(num_rows)]


TRAIN, DEV = rows(96, 0), rows(40, 1)


def recipes(text=TEXT, image=IMAGE, classes=3):
    return {"text": text_recipe(12, 5, classes, text), "image": image_recipe((8, 8, 3), classes, image, (2, 2))}


def run(output_dir, chosen, train=TRAIN, dev=DEV, settings=SETTINGS, **kwargs):
    return pretrain_backbones(chosen, train[1], train[0], train[2], dev[1], dev[0], output_dir, settings, **kwargs)


def test_a_row_that_lacks_a_modality_is_as_if_it_were_not_there(tmp_path):
    settings = dataclasses.replace(SETTINGS, max_epochs=2, folds=0)
    lacking = tuple({"image": np.arange(len(split[0])) % 4 == 1} for split in (TRAIN, DEV))
    decoded = tuple({"image": encoded(split[1]["image"])} for split in (TRAIN, DEV))
    image = {"image": recipes()["image"]}
    train, dev = ((split[0], rows, split[2]) for split, rows in zip((TRAIN, DEV), decoded, strict=True))
    taps = {}
    record = run(tmp_path / "whole", image, train, dev, settings, lacking=lacking, frozen_taps=taps)
    kept = [np.flatnonzero(~of_split["image"]) for of_split in lacking]
    parts = [
        (split[0][rows], {"image": split[1]["image"][rows]}, [split[2][row] for row in rows])
        for split, rows in zip((TRAIN, DEV), kept, strict=True)
    ]
    of_parts = {}
    expected = run(tmp_path / "part", image, *parts, settings, frozen_taps=of_parts)
    for split, rows in zip(("train", "dev"), kept, strict=True):
        for name, features in of_parts[split].items():
            np.testing.assert_allclose(taps[split][name][rows], features, atol=1e-5)
            assert len(taps[split][name]) == len(features) + 1 + rows[-1] // 4
    assert record["modalities"] == expected["modalities"]
    with pytest.raises(ValueError, match="No row of the dev split has image"):
        run(tmp_path / "none", image, settings=settings, lacking=({}, {"image": np.ones(40, bool)}))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbones")
    return folder, run(folder / "out", recipes(), work_dir=folder / "work")


def test_writes_the_folder_and_its_record(finished):
    folder, record = finished
    written = sorted(str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*.*"))
    assert written == [
        "backbones.json",
        "image/reference.keras",
        "text/fold_0.keras",
        "text/fold_1.keras",
        "text/reference.keras",
    ]
    assert json.loads((folder / "out" / "backbones.json").read_text()) == record
    text, image = record["modalities"]["text"], record["modalities"]["image"]
    assert text["sees_labels"] and text["folds"] == 2 and not image["sees_labels"] and image["folds"] == 0
    assert text["output_shapes"] == {"low": [6], "high": [10], "logits": [3]}
    assert len(text["curves"]["dev_macro_f1"]) == 24
    assert text["epochs"] == 24
    assert text["dev_macro_f1"] == text["curves"]["dev_macro_f1"][text["epochs"] - 1]


def test_heads_learn_and_their_scores_are_scikit_learns(finished):
    folder, record = finished
    for modality in ("text", "image"):
        reference = load_backbone(folder / "out", modality)
        for (labels, inputs, _), name in ((TRAIN, "train"), (DEV, "dev")):
            logits = np.asarray(reference(tf.constant(inputs[modality]))["logits"])
            score = f1_score(labels, logits.argmax(1), average="macro", zero_division=0)
            np.testing.assert_allclose(record["modalities"][modality][f"{name}_macro_f1"], score, atol=1e-6)
        assert record["modalities"][modality]["dev_macro_f1"] > 0.9


def test_train_rows_pass_the_network_that_has_not_seen_them(finished):
    folder, _ = finished
    _, inputs, ids = TRAIN
    features = extract_features(folder / "out", ids, inputs, "train", batch_size=7)
    assert {name: array.shape for name, array in features.items()} == {
        "text_low": (96, 6),
        "text_high": (96, 10),
        "image_low": (96, 2, 2, 16),
        "image_high": (96, 2, 2, 16),
    }
    folds = folds_of(fold_keys(ids, inputs["text"]), 2, 0)
    for fold in (0, 1):
        outputs = load_backbone(folder / "out", "text", f"fold_{fold}")(inputs["text"])
        np.testing.assert_allclose(features["text_high"][folds == fold], outputs["high"][folds == fold], atol=1e-5)
    dev = extract_features(folder / "out", DEV[2], DEV[1], "dev")
    np.testing.assert_allclose(
        dev["text_high"], load_backbone(folder / "out", "text")(DEV[1]["text"])["high"], atol=1e-5
    )


@keras.saving.register_keras_serializable(package="tests")
class CountedRows(keras.layers.Layer):
    """Passes rows on and counts them, whoever loads the network from its file."""

    rows = 0

    def call(self, inputs):
        def count(batch):
            CountedRows.rows += len(batch)
            return batch

        counted = tf.numpy_function(count, [inputs], inputs.dtype, stateful=True)
        counted.set_shape(inputs.shape)
        return counted


def frozen_recipe(weights=None):
    def build():
        inputs = keras.Input((8, 8, 3))
        counted = CountedRows()(inputs)
        low, high = (
            keras.layers.AveragePooling2D(size, name=name)(counted) for size, name in ((4, "low"), (2, "high"))
        )
        head = keras.Sequential(
            [keras.Input(high.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(3)], name="head"
        )
        logits = head(high)
        return keras.Model(inputs, {"low": low, "high": high, "logits": logits})

    return BackboneRecipe(build=build, sees_labels=False, weights=weights)


def test_a_frozen_trunk_passes_over_each_row_once(tmp_path):
    CountedRows.rows = 0
    frozen_taps = {}
    settings = dataclasses.replace(SETTINGS, max_epochs=2)
    run(tmp_path, {"image": frozen_recipe()}, settings=settings, frozen_taps=frozen_taps)
    features = {
        split: extract_features(tmp_path, ids, {"image": inputs["image"]}, split, known=frozen_taps[split])
        for split, (_, inputs, ids) in (("train", TRAIN), ("dev", DEV))
    }
    assert CountedRows.rows == 96 + 40
    # They are what the network would have given.
    for split, (_, inputs, ids) in (("train", TRAIN), ("dev", DEV)):
        anew = extract_features(tmp_path, ids, {"image": inputs["image"]}, split)
        assert set(anew) == set(features[split]) == {"image_low", "image_high"}
        for name, array in anew.items():
            np.testing.assert_array_equal(features[split][name], array)
    assert CountedRows.rows == 2 * (96 + 40)


def test_given_weights_pass_over_each_row_once(tmp_path):
    frozen_recipe().build().save_weights(tmp_path / "given.weights.h5")
    CountedRows.rows = 0
    frozen_taps = {}
    run(tmp_path / "out", {"image": frozen_recipe(str(tmp_path / "given.weights.h5"))}, frozen_taps=frozen_taps)
    _, inputs, ids = DEV
    features = extract_features(tmp_path / "out", ids, {"image": inputs["image"]}, "dev", known=frozen_taps["dev"])
    assert CountedRows.rows == 96 + 40 and features["image_low"].shape == (40, 2, 2, 3)


def test_taps_that_see_labels_are_not_handed_on(tmp_path):
    frozen_taps = {}
    settings = dataclasses.replace(SETTINGS, max_epochs=1)
    run(tmp_path, recipes(), settings=settings, frozen_taps=frozen_taps)
    assert {split: set(taps) for split, taps in frozen_taps.items()} == {
        split: {"image_low", "image_high"} for split in ("train", "dev")
    }
    with pytest.raises(ValueError, match="not of the 39 rows"):
        extract_features(tmp_path, DEV[2][:39], {"image": DEV[1]["image"][:39]}, "dev", known=frozen_taps["dev"])


def test_what_a_fold_was_not_fitted_on_is_unknown_to_it():
    """Word 11 in one fold's rows alone: that fold's network leaves it out, as serving leaves out what train lacks."""
    labels, inputs, ids = TRAIN
    folds = folds_of(ids, 2, 0)
    tokens = np.where(inputs["text"] == 11, 4, inputs["text"])
    tokens[folds == 0, 3] = 11
    weights = {}
    backbone = recipes()["text"].build()
    fit = BackboneFit(keras.Model(backbone.input, backbone.output["logits"]), SETTINGS, "text")
    for name, rows in (("all", np.arange(96)), ("without fold 0", np.flatnonzero(folds != 0))):
        fit.reset(tokens, labels, rows)
        weights[name] = np.asarray(fit.network.get_layer("word_vector").rarity)
        counts = [np.sum((tokens[rows] == number).any(axis=1)) for number in range(12)]
        expected = np.where(counts, np.log((1 + len(rows)) / (1 + np.array(counts))) + 1, 0)
        np.testing.assert_allclose(weights[name], expected, rtol=1e-6)
    assert weights["all"][11] > 1 and weights["without fold 0"][11] == 0


def test_a_fold_does_not_depend_on_the_labels_of_its_own_rows(finished, tmp_path):
    """The point of it all. With the epochs fixed, other labels in fold 0 change fold 1's network and not fold 0's."""
    settings = dataclasses.replace(SETTINGS, max_epochs=1, align_folds=False)
    labels, inputs, ids = TRAIN
    changed = np.where(folds_of(fold_keys(ids, inputs["text"]), 2, 0) == 0, (labels + 1) % 3, labels)
    chosen = {"text": recipes()["text"]}
    run(tmp_path / "plain", chosen, settings=settings)
    run(tmp_path / "changed", chosen, (changed, inputs, ids), settings=settings)
    high = {
        (folder, fold): np.asarray(load_backbone(tmp_path / folder, "text", f"fold_{fold}")(inputs["text"])["high"])
        for folder in ("plain", "changed")
        for fold in (0, 1)
    }
    np.testing.assert_array_equal(high["plain", 0], high["changed", 0])
    assert np.abs(high["plain", 1] - high["changed", 1]).max() > 1e-4


def test_alignment_brings_the_folds_closer(finished):
    alignment = finished[1]["modalities"]["text"]["alignment"]
    for tap in ("low", "high"):
        assert alignment[tap]["after"] > alignment[tap]["before"]


def test_a_run_that_was_cut_off_ends_like_one_that_was_not(finished, tmp_path):
    folder, record = finished
    work, out = folder / "work", tmp_path / "out"
    expected = np.asarray(load_backbone(folder / "out", "text", "fold_1")(TRAIN[1]["text"])["high"])
    (work / "text" / "fold_1.keras").unlink()
    (work / "text" / "fold_0.partial.keras").write_bytes(b"half a file")
    kept = os.stat(work / "text" / "fold_0.keras").st_mtime_ns
    assert run(out, recipes(), work_dir=work) == record
    assert os.stat(work / "text" / "fold_0.keras").st_mtime_ns == kept
    np.testing.assert_array_equal(load_backbone(out, "text", "fold_1")(TRAIN[1]["text"])["high"], expected)


def test_other_data_starts_anew(tmp_path):
    chosen = {"text": recipes()["text"]}
    settings = dataclasses.replace(SETTINGS, max_epochs=2, folds=0)
    first = run(tmp_path, chosen, settings=settings)
    labels, inputs, ids = TRAIN
    second = run(tmp_path, chosen, ((labels + 1) % 3, inputs, ids), settings=settings)
    assert first["modalities"]["text"]["curves"] != second["modalities"]["text"]["curves"]


def test_memorised_rows_are_a_warning(tmp_path):
    """Labels without any relation to the text can only be learnt by heart."""
    rng = np.random.default_rng(5)
    train = (rng.integers(3, size=24), {"text": rng.integers(1, 12, size=(24, 5))}, [str(i) for i in range(24)])
    others = rng.integers(3, size=48), rng.integers(1, 12, size=(48, 5))
    # Of dev a third are rows of train, or every epoch would do as well as any.
    dev = (np.concatenate([train[0], others[0]]), {"text": np.concatenate([train[1]["text"], others[1]])}, [])
    settings = dataclasses.replace(SETTINGS, max_epochs=25, folds=0, weight_decay=0.0)
    text = dataclasses.replace(TEXT, dropout=0.0, token_dropout=0.0)
    record = run(tmp_path / "0", {"text": text_recipe(12, 5, 3, text)}, train, dev, settings)["modalities"]["text"]
    assert record["train_macro_f1"] - record["dev_macro_f1"] > 0.15
    assert "not cross-fitted" in record["warning"]
    settings = dataclasses.replace(settings, folds=2)
    folded = run(tmp_path / "2", {"text": text_recipe(12, 5, 3, text)}, train, dev, settings)["modalities"]["text"]
    assert folded["warning"] is None
    assert folded["cross_fitted_macro_f1"] < folded["train_macro_f1"] - 0.15


def test_multi_label_and_a_trained_trunk(tmp_path):
    def multi_hot(split):
        labels, inputs, ids = split
        return np.eye(3, dtype="float32")[labels], {"image": inputs["image"][: len(labels)]}, ids

    image = dataclasses.replace(IMAGE, train_trunk=True)
    settings = dataclasses.replace(SETTINGS, max_epochs=1, folds=0)
    record = run(
        tmp_path, {"image": image_recipe((8, 8, 3), 3, image, (2, 2))}, multi_hot(TRAIN), multi_hot(DEV), settings
    )
    logits = np.asarray(load_backbone(tmp_path, "image")(tf.constant(DEV[1]["image"]))["logits"])
    record = record["modalities"]["image"]
    # Dev chooses the head's thresholds, at which its scores are.
    for kind, thresholds in record["thresholds"].items():
        np.testing.assert_allclose(thresholds, choose_thresholds(multi_hot(DEV)[0], logits, kind), atol=1e-4)
    given = 1 / (1 + np.exp(-logits)) > record["thresholds"]["per_class"]
    score = f1_score(multi_hot(DEV)[0], given, average="macro", zero_division=0)
    np.testing.assert_allclose(record["dev_macro_f1"], score, atol=1e-6)
    assert set(record["thresholds"]) == {"dev", "per_class"} and record["sees_labels"]


def test_a_dataset_of_rows_is_as_good_as_an_array(finished, tmp_path):
    def datasets(split):
        labels, inputs, ids = split
        return labels, {"text": tf.data.Dataset.from_tensor_slices(inputs["text"])}, ids

    settings = dataclasses.replace(SETTINGS, folds=0)
    record = run(tmp_path, {"text": recipes()["text"]}, datasets(TRAIN), datasets(DEV), settings)
    assert record["modalities"]["text"]["curves"] == finished[1]["modalities"]["text"]["curves"]


def test_rows_that_stay_encoded_are_as_good_as_an_array(tmp_path):
    """A split of clips does not fit into memory decoded."""
    settings = dataclasses.replace(SETTINGS, max_epochs=2)
    chosen = {"image": recipes(image=dataclasses.replace(IMAGE, train_trunk=True))["image"]}
    records, features = [], []
    for name in ("array", "encoded"):
        train, dev = (
            (labels, {"image": inputs["image"] if name == "array" else encoded(inputs["image"])}, ids)
            for labels, inputs, ids in (TRAIN, DEV)
        )
        records.append(run(tmp_path / name, chosen, train, dev, settings))
        features.append(extract_features(tmp_path / name, train[2], train[1], "train"))
    assert records[0] == records[1]
    for name, values in features[0].items():
        np.testing.assert_array_equal(values, features[1][name])
    # Other pictures are seen, though they are not decoded for it.
    changed = (DEV[0], {"image": encoded(255 - DEV[1]["image"])}, DEV[2])
    assert run(tmp_path / "encoded", chosen, train, changed, settings) != records[1]


def encoded(pictures):
    return DecodedRows(
        np.array([tf.io.encode_png(picture).numpy() for picture in pictures], dtype=object), MODALITIES["image"].decode
    )


@pytest.mark.parametrize("suffix", ["given.keras", "given.weights.h5"])
def test_given_weights_are_passed_on(tmp_path, suffix):
    given = recipes()["text"].build()
    path = str(tmp_path / suffix)
    given.save(path) if suffix.endswith(".keras") else given.save_weights(path)
    text = dataclasses.replace(TEXT, weights=path)
    record = run(tmp_path / "out", {"text": text_recipe(12, 5, 3, text)})["modalities"]["text"]
    assert record["epochs"] == 0 and record["folds"] == 0 and record["weights"] == path
    tokens = DEV[1]["text"]
    np.testing.assert_allclose(load_backbone(tmp_path / "out", "text")(tokens)["high"], given(tokens)["high"])


def test_given_weights_that_do_not_fit_are_clear_errors(tmp_path):
    other = text_recipe(12, 5, 4, TEXT).build()
    other.save(tmp_path / "other.keras")
    other.save_weights(tmp_path / "other.weights.h5")
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)]).save(tmp_path / "plain.keras")
    (tmp_path / "broken.keras").write_bytes(b"no archive")
    (tmp_path / "weights.pt").write_bytes(b"")
    for name, message in (
        ("other.keras", "does not fit"),
        ("other.weights.h5", "do not fit"),
        ("plain.keras", "does not fit"),
        ("broken.keras", "cannot be loaded"),
        ("missing.weights.h5", "do not fit"),
        ("weights.pt", "must be a"),
    ):
        text = dataclasses.replace(TEXT, weights=str(tmp_path / name))
        with pytest.raises(ValueError, match=message):
            run(tmp_path / "out", {"text": text_recipe(12, 5, 3, text)})


def test_rejects_what_does_not_fit(tmp_path):
    labels, inputs, ids = TRAIN
    with pytest.raises(ValueError, match="lacks inputs of: image"):
        run(tmp_path, recipes(), (labels, {"text": inputs["text"]}, ids))
    with pytest.raises(ValueError, match="96 labels and 95 rows"):
        run(tmp_path, {"text": recipes()["text"]}, (labels, {"text": inputs["text"][1:]}, ids))
    with pytest.raises(ValueError, match="needs an id"):
        run(tmp_path, {"text": recipes()["text"]}, (labels, inputs, ids[1:]))
