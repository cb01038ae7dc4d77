import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.backbones.skeleton_backbone import skeleton_backbone
from hfmnas_keras.backbones.video_backbone import video_backbone
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.data.transformed_examples import TransformedExamples
from hfmnas_keras.genotype.cell_genotype import CellGenotype
from hfmnas_keras.genotype.discretise import discretise
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.genotype.node_choice import NodeChoice
from hfmnas_keras.models.classifier import multimodal_classifier
from hfmnas_keras.optimization.f1_score import macro_f1
from hfmnas_keras.settings.backbones import SkeletonBackboneSettings, VideoBackboneSettings
from hfmnas_keras.settings.pretraining import PretrainingSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training import final_training, two_fits
from hfmnas_keras.training.final_training import train_fusion_network
from tests.hfmnas_keras.network_settings import NetworkSettings

FUSION = NetworkSettings(channels=8, grid=(2, 2), num_nodes=1, kept_nodes=1, num_heads=2, correlation_dim=4)
# A smaller graph to trace, where it is not about the words' order.
WITHOUT_SEQUENCE = FUSION.changed(sequence_encoder=False)
SETTINGS = TrainingSettings(
    max_epochs=4, patience=4, batch_size=8, learning_rate=5e-3, unfreeze_backbones=False, seed=3
)


def make_genotype():
    # `skip` on both edges and `sum` at the node, in both cells
    gamma, beta = np.zeros((2, 10)), np.zeros((1, 9))
    gamma[:, 1] = 1
    beta[0, 0] = 1
    cell = discretise(gamma, beta, np.zeros(1), kept_nodes=1)
    return Genotype(lfbc=cell, hfbc=cell)


def make_features(rows, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, size=rows)
    shapes = {"text_low": (6,), "text_high": (5,), "image_low": (2, 2, 4), "image_high": (2, 2, 3)}
    features = {}
    for name, shape in shapes.items():
        signal = (labels == (0 if name.startswith("text") else 1)).reshape(rows, *[1] * len(shape))
        features[name] = (0.3 * generator.normal(size=(rows, *shape)) + 2.0 * signal).astype("float32")
    tokens = generator.integers(1, 9, size=(rows, 4))
    return FeatureSet(np.array([f"{i}" for i in range(rows)]), features, labels, tokens)


def make_examples(rows, seed):
    """The colour of the picture and one word tell the label."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, size=rows)
    images = generator.integers(0, 60, size=(rows, 8, 8, 3)).astype("uint8")
    images[labels == 1] += 180
    tokens = generator.integers(2, 9, size=(rows, 4))
    tokens[labels == 0, 0] = 1
    encoded = np.array([tf.io.encode_png(image).numpy() for image in images], dtype=object)
    return TransformedExamples(np.array([f"{i}" for i in range(rows)]), {"text": tokens, "image": encoded}, labels)


def make_backbones():
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3), name="image")
    low = keras.layers.AveragePooling2D(4)(keras.layers.Rescaling(1 / 255)(image))
    high = keras.layers.BatchNormalization()(keras.layers.Dense(5, activation="relu")(low))
    logits = keras.layers.Dense(3)(keras.layers.Dropout(0.2)(keras.layers.Flatten()(high)))
    image_backbone = keras.Model(image, {"low": low, "high": high, "logits": logits})
    tokens = keras.Input((4,), dtype="int64", name="tokens")
    low = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(9, 6)(tokens))
    high = keras.layers.Dense(7, activation="relu")(low)
    text_backbone = keras.Model(tokens, {"low": low, "high": high, "logits": keras.layers.Dense(3)(high)})
    return {"image": image_backbone, "text": text_backbone}


def weights_of(result):
    models = [result.fusion_network, *result.backbones.values()]
    return list(itertools.chain.from_iterable(model.get_weights() for model in models))


def without_times(history):
    return {
        part: [{key: value for key, value in record.items() if key != "seconds"} for record in records]
        for part, records in history.items()
    }


def train_frozen(folder, settings=SETTINGS, **kwargs):
    rows = make_features(45, 0), make_features(20, 1)
    return train_fusion_network(
        make_genotype(), *rows, 3, settings=settings, checkpoint_dir=folder, **WITHOUT_SEQUENCE.model, **kwargs
    )


def train_unfrozen(folder, max_epochs=3, fusion=WITHOUT_SEQUENCE):
    settings = dataclasses.replace(SETTINGS, max_epochs=max_epochs, unfreeze_backbones=True)
    rows = make_examples(45, 0), make_examples(20, 1)
    return train_fusion_network(
        make_genotype(),
        *rows,
        3,
        settings=settings,
        checkpoint_dir=folder,
        backbones=make_backbones(),
        vocabulary_size=9,
        **fusion.model,
    )


def make_several_labels(rows, seed):
    """Rare labels that the features tell of, and some that they do not."""
    rows = make_features(rows, seed)
    labels = (rows.labels[:, None] == np.arange(3)).astype("float32")
    labels[np.random.default_rng(seed + 9).random(labels.shape) < 0.15] = 0
    return FeatureSet(rows.ids, rows.features, labels)


@pytest.mark.parametrize("threshold", ["fixed", "dev", "per_class"])
def test_thresholds_are_those_of_the_best_epoch_on_dev(tmp_path, threshold):
    settings = dataclasses.replace(SETTINGS, threshold=threshold, class_weights="sqrt")
    rows = make_several_labels(45, 0), make_several_labels(20, 1)
    result = train_fusion_network(
        None,
        *rows,
        3,
        settings=settings,
        checkpoint_dir=tmp_path,
        model="concatenation",
        fixed_threshold=0.3,
        **WITHOUT_SEQUENCE.model,
    )
    record = result.history["fit"][result.epochs - 1]
    assert record["thresholds"] == result.thresholds.tolist()
    assert record["dev_macro_f1"] == result.dev_macro_f1
    assert len(set(result.thresholds)) == (3 if threshold == "per_class" else 1)
    if threshold == "fixed":
        assert result.thresholds[0] == 0.3
    else:
        # As good as any single one, for which they were chosen.
        assert result.dev_macro_f1 > 0.5


def test_frozen_training_learns_and_chooses_its_epochs_on_dev(tmp_path):
    result = train_frozen(tmp_path)
    scores = [record["dev_average_precision"] for record in result.history["fit"]]
    assert len(scores) == 4 and result.thresholds is None
    # each epoch with its neighbours, by hand
    first, second, third, fourth = scores
    means = [(first + second) / 2, (first + second + third) / 3, (second + third + fourth) / 3, (third + fourth) / 2]
    assert means[result.epochs - 1] == pytest.approx(max(means))
    assert result.dev_average_precision == scores[result.epochs - 1]
    assert result.dev_macro_f1 == result.history["fit"][result.epochs - 1]["dev_macro_f1"]
    assert [record["epoch"] for record in result.history["retrain"]] == list(range(1, result.epochs + 1))
    # However few the epochs, the retraining ends at the bottom of its cosine.
    assert result.history["retrain"][-1]["learning_rate"] < 0.1 * SETTINGS.learning_rate
    # 45 + 20 rows are retrained on: dev rows too must be known now
    dev = make_features(20, 1)
    assert macro_f1(dev.labels, result.fusion_network.predict(dev.inputs(), verbose=0)) > 0.9
    assert result.backbones == {}


def test_stopped_training_goes_on_and_ends_in_the_same_weights(tmp_path, monkeypatch):
    expected = train_unfrozen(tmp_path / "uninterrupted")

    class Stop(Exception):
        pass

    save = final_training.SavedState.save
    # stopped once in the fit and once in the retraining
    stops = [("fit", 2), ("retrain", 1)]

    def save_and_stop(self, variables, record):
        save(self, variables, record)
        if stops and (record["part"], len(record["history"][record["part"]])) == stops[0]:
            stops.pop(0)
            raise Stop

    monkeypatch.setattr(final_training.SavedState, "save", save_and_stop)
    for _ in range(2):
        with pytest.raises(Stop):
            train_unfrozen(tmp_path / "stopped")
    result = train_unfrozen(tmp_path / "stopped")
    assert without_times(result.history) == without_times(expected.history)
    assert result.epochs == expected.epochs
    for value, expected_value in zip(weights_of(result), weights_of(expected), strict=True):
        assert value.tobytes() == expected_value.tobytes()
    # The backbones were trained along, their heads too.
    for name, backbone in make_backbones().items():
        for before, after in zip(backbone.trainable_variables, result.backbones[name].trainable_variables, strict=True):
            assert not np.array_equal(before, after)


def test_backbones_and_sequence_encoder_share_the_tokens(tmp_path):
    result = train_unfrozen(tmp_path, max_epochs=1, fusion=FUSION.changed(sequence_encoder=True))
    assert {tensor.name for tensor in result.fusion_network.inputs} >= {"tokens", "text_low"}
    names = [variable.path for variable in result.fusion_network.trainable_variables]
    assert [name for name in names if "lstm" in name.lower()]
    assert result.epochs == 1 and len(result.history["retrain"]) == 1


def make_clips(rows, seed):
    """How bright a clip is and where its joints are tell the label; frames are encoded, as Transform leaves them."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, size=rows)
    frames = generator.integers(0, 60, size=(rows, 4, 16, 16, 3)).astype("uint8")
    frames[labels == 1] += 180
    video = np.array([[tf.io.encode_jpeg(frame).numpy() for frame in clip] for clip in frames], dtype=object)
    skeleton = generator.normal(size=(rows, 16, 2, 25, 3)).astype("float32")
    skeleton[labels == 0] += 2
    ids = np.array([f"{i}" for i in range(rows)])
    return TransformedExamples(ids, {"skeleton": skeleton, "video": video}, labels)


def test_backbones_of_clips_train_along(tmp_path):
    keras.utils.set_random_seed(1)
    backbones = {
        "skeleton": skeleton_backbone((16, 2, 25, 3), 3, SkeletonBackboneSettings(width=0.125), grid=(4, 1)),
        "video": video_backbone(
            (4, 16, 16, 3), 3, VideoBackboneSettings(width=0.0625, blocks=(1, 1, 1, 1)), grid=(4, 1)
        ),
    }
    before = {name: backbone.get_weights() for name, backbone in backbones.items()}
    fusion = WITHOUT_SEQUENCE.changed(
        grid=(4, 1),
        lfbc_taps=("skeleton_low", "video_low"),
        hfbc_taps=("skeleton_high", "video_high"),
    )
    settings = dataclasses.replace(SETTINGS, max_epochs=2, learning_rate=3e-3, unfreeze_backbones=True)
    train, dev = make_clips(30, 0), make_clips(12, 1)
    result = train_fusion_network(
        make_genotype(), train, dev, 3, settings=settings, checkpoint_dir=tmp_path, **fusion.model, backbones=backbones
    )
    losses = [record["loss"] for part in ("fit", "retrain") for record in result.history[part]]
    assert np.isfinite(losses).all() and result.history["fit"][1]["loss"] < result.history["fit"][0]["loss"]
    for name, backbone in result.backbones.items():
        for weights, old in zip(backbone.get_weights(), before[name], strict=True):
            assert not np.array_equal(weights, old)
    classifier = multimodal_classifier(result.fusion_network, result.backbones, multi_label=False)
    clips = {name: rows[np.arange(dev.num_rows)] for name, rows in dev.inputs().items()}
    probabilities = classifier.predict({**clips, "video": clips["video"].astype("float32")}, verbose=0)["probabilities"]
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.long)])
def test_half_precision_learns_and_gives_a_model_in_float32(precision, tmp_path):
    result = train_frozen(tmp_path / "state", dataclasses.replace(SETTINGS, precision=precision))
    for record in (*result.history["fit"], *result.history["retrain"]):
        assert np.isfinite([record["loss"], record["added_loss"]]).all()
    dev = make_features(20, 1)
    logits = result.fusion_network.predict(dev.inputs(), verbose=0)
    assert macro_f1(dev.labels, logits) > 0.9
    result.fusion_network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert {weight.dtype for weight in loaded.weights} == {"float32"}
    assert {layer.compute_dtype for layer in loaded._flatten_layers()} == {"float32"}
    np.testing.assert_allclose(loaded.predict(dev.inputs(), verbose=0), logits, atol=1e-5)


@pytest.mark.long
def test_streamed_features_train_the_same_weights(tmp_path):
    results = [
        train_frozen(tmp_path / str(size), dataclasses.replace(SETTINGS, max_epochs=2, device_bytes=size))
        for size in (10**6, 0)
    ]
    resident, streamed = (without_times(result.history) for result in results)
    assert resident == streamed
    for value, expected in zip(*map(weights_of, results), strict=True):
        assert value.tobytes() == expected.tobytes()


@pytest.mark.parametrize("unfrozen", [True, False])
def test_a_unimodal_run_trains_and_serves_one_modality_alone(tmp_path, unfrozen):
    fusion = FUSION.changed(lfbc_taps=("image_low",) * 2, hfbc_taps=("image_high",) * 2)
    settings = dataclasses.replace(SETTINGS, max_epochs=1, unfreeze_backbones=unfrozen)
    make_rows = make_examples if unfrozen else make_features
    backbones = make_backbones()
    before = backbones["text"].get_weights()
    result = train_fusion_network(
        make_genotype(),
        make_rows(16, 0),
        make_rows(8, 1),
        3,
        settings=settings,
        checkpoint_dir=tmp_path,
        **fusion.model,
        backbones=backbones,
        vocabulary_size=9,
    )
    assert {tensor.name for tensor in result.fusion_network.inputs} == {"image_low", "image_high"}
    assert set(result.backbones) == {"image"}
    for value, untouched in zip(backbones["text"].get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, untouched)
    if unfrozen:
        classifier = multimodal_classifier(result.fusion_network, result.backbones, multi_label=False)
        assert set(classifier.input) == {"image"}
        assert not [name for name in classifier.output if name.startswith("text")]


def test_patience_stops_the_fit(tmp_path, monkeypatch):
    # With its neighbours the third is the best; two epochs later it still is.
    precisions = iter([0.2, 0.8, 0.8, 0.3, 0.2, 0.1, 0.1])

    def dev_scores(*arguments):
        return {"dev_average_precision": next(precisions), "dev_loss": 1.0, "dev_macro_f1": 0.5}

    monkeypatch.setattr(two_fits, "dev_scores", dev_scores)
    result = train_frozen(tmp_path, dataclasses.replace(SETTINGS, max_epochs=30, patience=2), retrain=False)
    assert len(result.history["fit"]) == 5
    assert (result.epochs, result.dev_average_precision) == (3, 0.8)


def test_a_genotype_of_other_importance_is_another_network(tmp_path):
    nodes = tuple(NodeChoice(i, (0, 1), ("skip", "linear_tanh"), "sum") for i in range(2))
    settings, rows = dataclasses.replace(SETTINGS, max_epochs=1), (make_features(45, 0), make_features(20, 1))

    def train(share):
        cell = CellGenotype(2, nodes, kept=(0, 1), importance=(share, 1 - share))
        train_fusion_network(
            Genotype(cell, cell), *rows, 3, settings=settings, checkpoint_dir=tmp_path, **WITHOUT_SEQUENCE.model
        )

    train(0.5)
    with pytest.raises(ValueError, match="genotype.importance"):
        train(0.9)


def test_the_first_fit_cannot_be_had_back_from_the_second(tmp_path):
    settings = dataclasses.replace(SETTINGS, max_epochs=1)
    train_frozen(tmp_path, settings)
    with pytest.raises(ValueError, match="is of the second fit.*Received: retrain=False"):
        train_frozen(tmp_path, settings, retrain=False)


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (TrainingSettings, "weight_decay", -1e-3),
        (PretrainingSettings, "weight_decay", -1e-3),
        (PretrainingSettings, "learning_rate", 0.0),
    ],
)
def test_settings_out_of_bounds_are_refused(settings, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {value}"):
        settings(**{name: value})


def test_rows_must_fit_the_mode(tmp_path):
    examples = make_examples(6, 0)
    with pytest.raises(ValueError, match="trains on FeatureSet"):
        train_fusion_network(
            make_genotype(), examples, examples, 3, settings=SETTINGS, checkpoint_dir=tmp_path, **FUSION.model
        )
    unfrozen = dataclasses.replace(SETTINGS, unfreeze_backbones=True)
    with pytest.raises(ValueError, match="needs `backbones`"):
        train_fusion_network(
            make_genotype(), examples, examples, 3, settings=unfrozen, checkpoint_dir=tmp_path, **FUSION.model
        )
