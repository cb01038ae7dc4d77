"""What the Trainer trains with: the configuration's settings, or those that the Tuner chose."""

from __future__ import annotations

import json
import types

import keras
import keras_tuner
import pytest
import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from components.settings_json import settings_to_json
from components.trainer import training
from hfmnas_keras.data.feature_files import write_feature_set
from hfmnas_keras.evidence.abstention import Abstention
from tests.hfmnas_keras.search.search_case import make_rows
from tests.hfmnas_keras.training import tuned_case


def write_backbones(folder):
    """Two small ones with features of the shapes that `make_rows` has."""
    image = keras.Input((6, 5, 3), name="image")
    low = keras.layers.Reshape((2, 2, 4))(keras.layers.Dense(16)(keras.layers.Flatten()(image)))
    high = keras.layers.Dense(3, activation="relu")(low)
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(high))
    backbones = {"image": keras.Model(image, {"low": low, "high": high, "logits": logits})}
    tokens = keras.Input((4,), dtype="int64", name="tokens")
    low = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(32, 6)(tokens))
    high = keras.layers.Dense(5, activation="relu")(low)
    backbones["text"] = keras.Model(tokens, {"low": low, "high": high, "logits": keras.layers.Dense(3)(high)})
    for modality, backbone in backbones.items():
        (folder / modality).mkdir(parents=True)
        backbone.save(folder / modality / "reference.keras")
    (folder / "backbones.json").write_text(json.dumps({"version": 1, "modalities": dict.fromkeys(backbones)}))


@pytest.fixture
def train(tmp_path, monkeypatch):
    """The function trains a genotype with what was tuned; it gives the fusion network as saved and the record."""
    # Preprocessing and export have tests of their own, and would take longer than the training.
    transform = types.SimpleNamespace(
        vocabulary_size_by_name=lambda name: 30,
        vocabulary_file_by_name=lambda name: None,
        transform_features_layer=lambda: None,
        raw_feature_spec=dict,
    )
    monkeypatch.setattr(training.tft, "TFTransformOutput", lambda folder: transform)
    monkeypatch.setattr(training, "export_saved_model", lambda *args: None)
    monkeypatch.setattr(training, "write_warmup", lambda *args: None)
    write_backbones(tmp_path / "backbones")
    (tmp_path / "genotype").mkdir()
    tuned_case.GENOTYPE.save(tmp_path / "genotype" / "genotype.json")
    for split, rows in (("train", make_rows(48, 0)), ("dev", make_rows(24, 1))):
        write_feature_set(rows, tmp_path / split)

    def run(name, hyperparameters):
        folder = tmp_path / name
        (folder / "run").mkdir(parents=True)
        training.run_fn(
            FnArgs(
                model_run_dir=str(folder / "run"),
                hyperparameters=hyperparameters,
                custom_config={
                    "model": "hf_mnas",
                    "classes": ["cat", "dog", "fish"],
                    "threshold": 0.5,
                    "multi_label": False,
                    **{part: settings_to_json(settings) for part, settings in tuned_case.FUSION.model.items()},
                    "training": settings_to_json(tuned_case.TRAINING),
                    "abstention": settings_to_json(Abstention()),
                    "backbones_uri": str(tmp_path / "backbones"),
                    "genotype_uri": str(tmp_path / "genotype"),
                    "train_features_uri": str(tmp_path / "train"),
                    "dev_features_uri": str(tmp_path / "dev"),
                    "model_uri": str(folder / "model"),
                    "checkpoint_dir": str(folder / "checkpoints"),
                },
            )
        )
        classifier = keras.saving.load_model(folder / "model" / "classifier.keras", compile=False)
        record = json.loads((folder / "run" / "training.json").read_text(encoding="utf-8"))
        # What dev chose is what the saved model answers.
        assert classifier.get_layer("opinion_report").head_shares == record["head_shares"]
        return classifier.get_layer("searched_model"), record

    # To trace the graph of each step would take longer than the step.
    tf.config.run_functions_eagerly(True)
    yield run
    tf.config.run_functions_eagerly(False)


def chosen(values):
    """The best hyperparameters as TFX hands them from the Tuner to the Trainer."""
    parameters = keras_tuner.HyperParameters()
    for name, value in values.items():
        parameters.Choice(name, [value])
    return json.loads(json.dumps(parameters.get_config()))


def test_the_trainer_trains_what_the_tuned_values_describe(train):
    network, own = train("own", None)
    assert tuned_case.parts_of(network) == tuned_case.OWN and own["tuned"] == {}
    values = {name: value for name, (value, _) in tuned_case.CHANGED.items()}
    network, record = train("network", chosen(values))
    assert tuned_case.parts_of(network) == tuned_case.TOGETHER and record["tuned"] == values
    network, record = train("weight", chosen({"mitigation.correlation_weight": 0.4}))
    assert tuned_case.parts_of(network) == tuned_case.OWN
    # From the same initial weights, with four times the weight.
    own, tuned = (each["history"]["fit"][0] for each in (own, record))
    assert own["loss"] == tuned["loss"] and own["added_loss"] > 1e-3
    assert tuned["added_loss"] == pytest.approx(4 * own["added_loss"], rel=1e-5)
    assert own["dev_loss"] != tuned["dev_loss"]
