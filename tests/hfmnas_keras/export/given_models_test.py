"""Models of a package of one's own, from backbones to a SavedModel that plain TensorFlow answers from."""

import base64
import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

pytest.importorskip("tensorflow_transform", reason="needs the extra `pipeline`")

from hfmnas_keras.backbones.keras_backbone import keras_backbone
from hfmnas_keras.export.serving import export_saved_model
from hfmnas_keras.models.baselines.baseline_model import baseline_model
from hfmnas_keras.models.classifier import multimodal_classifier
from hfmnas_keras.settings.keras_backbone import KerasBackboneSettings
from tests import served_model
from tests.hfmnas_keras.backbones import given_models
from tests.hfmnas_keras.network_settings import NetworkSettings

FUNCTIONS = given_models.__name__
FUSION = NetworkSettings(channels=8, grid=(2, 2))
PROGRAM = """
    import base64, json, sys
    import tensorflow as tf
    rows = json.load(sys.stdin)
    served = tf.saved_model.load(sys.argv[1]).signatures["serve_json"]
    pictures = tf.constant([base64.b64decode(row["image"]) for row in rows])
    answer = served(image_bytes=pictures, text=tf.constant([row["text"] for row in rows]))
    foreign = {name.split(".")[0] for name in sys.modules} & {"hfmnas_keras", "tests", "components", "keras_hub"}
    assert not foreign, foreign
    print(json.dumps(answer["probabilities"].numpy().tolist()))
"""


def backbones(folder):
    """A transformer whose texts fill a grid, and a network of keras.applications; each read back from its file."""
    settings = {
        # The word ids of `served_model` stand in for a tokenizer's.
        "text": KerasBackboneSettings(f"{FUNCTIONS}:small_transformer", tokenizer="none", pooling="grid"),
        "image": KerasBackboneSettings(f"{FUNCTIONS}:first_stages", low_tap="block_1_project_BN"),
    }
    shapes = {"text": (served_model.MAX_TOKENS,), "image": (*served_model.IMAGE_SIZE, 3)}
    made = {}
    for modality, one in settings.items():
        keras_backbone(modality, shapes[modality], 3, one, grid=(2, 2)).save(folder / f"{modality}.keras")
        made[modality] = keras.saving.load_model(folder / f"{modality}.keras", compile=False)
    return made


def test_given_models_are_served_by_plain_tensorflow(tmp_path):
    keras.utils.set_random_seed(0)
    both = backbones(tmp_path)
    shapes = {
        f"{modality}_{tap}": tuple(backbone.output[tap].shape[1:])
        for modality, backbone in both.items()
        for tap in ("low", "high")
    }
    assert shapes["text_high"] == (2, 2, 6) and shapes["image_low"][:2] == (2, 2)
    fused = baseline_model("mmbt", shapes, 3, FUSION.fusion, FUSION.final_model)
    fused = keras.Model(fused.inputs, fused.output["logits"])
    classifier = multimodal_classifier(fused, both, multi_label=False)
    output = served_model.transform_output(False)
    arguments = output.transform_features_layer(), output.raw_feature_spec(), served_model.CLASS_NAMES, False
    export_saved_model(classifier, *arguments, str(tmp_path / "model"))
    (tmp_path / "model").rename(tmp_path / "moved")

    rows = served_model.raw_rows(False)
    sent = [{"image": base64.b64encode(row["image"]).decode(), "text": row["text"].decode()} for row in rows]
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path / "moved")],
        input=json.dumps(sent),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    vocabulary = output.vocabulary_by_name("text_vocabulary")
    ids = {word.decode(): index + 1 for index, word in enumerate(vocabulary)}
    tokens = np.zeros((len(rows), served_model.MAX_TOKENS), np.int64)
    for row, text in enumerate(served_model.TEXTS):
        words = text.split()[: served_model.MAX_TOKENS]
        tokens[row, : len(words)] = [ids[word] for word in words]
    images = np.stack([served_model.resized(row["image"]) for row in rows]).astype("float32")
    expected = classifier({"image": images, "tokens": tokens})["probabilities"]
    np.testing.assert_allclose(json.loads(finished.stdout.splitlines()[-1]), expected, rtol=1e-4, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-4
