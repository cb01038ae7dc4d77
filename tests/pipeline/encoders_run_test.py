"""The road with a pre-trained encoder for both modalities, here of random weights."""

from __future__ import annotations

import pathlib
import sys

import pytest
import tensorflow as tf
from coloured_shapes import write_shapes
from conftest import TINY, run_once, write_config

from pipeline.local_runner import BLESSED
from pipeline.run_summary import summarise_run

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from tests.hfmnas_keras.backbones.encoder_sources import bert_folder, image_encoder, text_encoder


@pytest.mark.long
def test_any_keras_models_are_frozen_fused_gated_and_served(tmp_path):
    """A text's sequence as a grid, and a network of keras.applications, from functions of a package."""
    functions = "tests.hfmnas_keras.backbones.given_models"
    config = write_config(
        tmp_path,
        write_shapes(tmp_path / "data"),
        backbones={
            "text": {
                "kind": "keras",
                "model": f"{functions}:small_transformer",
                "tokenizer": str(bert_folder(tmp_path / "published")),
                "pooling": "grid",
            },
            "image": {"kind": "keras", "model": f"{functions}:small_mobile_net", "low_tap": "block_5_add"},
        },
        preparation={**TINY["preparation"], "image_size": [64, 64], "max_tokens": 12},
        gate={"min_f1_m": 0.0, "above_reference": False},
    )
    finished = run_once(config)
    assert finished.code == BLESSED, finished.text
    model = pathlib.Path(summarise_run(finished.config.metadata_path).pushed_path)
    picture = next(pathlib.Path(tmp_path / "data" / "pictures").iterdir()).read_bytes()
    served = tf.saved_model.load(str(model)).signatures["serve_json"]
    answers = [
        served(image_bytes=tf.constant([picture]), text=tf.constant([text]))["text_belief"].numpy().tolist()
        for text in ("rose fire", "sky", "rose fire")
    ]
    assert answers[0] == answers[2] != answers[1]


@pytest.mark.long
def test_encoders_are_frozen_fused_gated_and_served(tmp_path):
    config = write_config(
        tmp_path,
        write_shapes(tmp_path / "data"),
        backbones={
            "text": {"kind": "encoder", "encoder": str(text_encoder(tmp_path))},
            "image": {"kind": "encoder", "encoder": str(image_encoder(tmp_path))},
        },
        # As in the demo, raced genotypes whose networks vote.
        search={**TINY["search"], "strategy": "race", "race": {"candidates": 4, "rungs": [1, 2], "kept": 0.5}},
        final_model={**TINY["final_model"], "sequence_encoder": True, "ensemble": 2},
        # With folds: taps that saw no label need none.
        pretraining={**TINY["pretraining"], "folds": 2},
        preparation={**TINY["preparation"], "image_size": [64, 64], "max_tokens": 24},
        # Random weights tell little.
        gate={"min_f1_m": 0.0, "above_reference": False},
    )
    finished = run_once(config)
    assert finished.code == BLESSED, finished.text
    summary = summarise_run(finished.config.metadata_path)
    model = pathlib.Path(summary.pushed_path)
    # Pieces and not the words of the train split.
    (asset,) = (model / "assets").iterdir()
    assert asset.read_text().splitlines()[:4] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    signatures = tf.saved_model.load(str(model)).signatures
    picture = next(pathlib.Path(tmp_path / "data" / "pictures").iterdir()).read_bytes()
    answers = [
        signatures["serve_json"](image_bytes=tf.constant([picture]), text=tf.constant([text]))
        # Small letters and accents are one to this encoder.
        for text in ("rose fire", "RÖSE  FIRE", "sky")
    ]
    beliefs = [answer["text_belief"].numpy().tolist() for answer in answers]
    assert beliefs[0] == beliefs[1] != beliefs[2]
