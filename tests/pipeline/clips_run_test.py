"""The road with clips of colour and depth, on gestures of which each modality shows one half."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import yaml
from conftest import run_once

from pipeline.local_runner import BLESSED
from pipeline.run_summary import summarise_run
from tests.layouts import egogesture_folder

NETWORK = {
    "network": "resnext101",
    "width": 0.125,
    "blocks": [1, 1, 1, 1],
    "cardinality": 4,
    "high_tap": "layer4",
    "head_dropout": 0.0,
}
CONFIG = {
    "name": "gestures",
    "preparation": {"classes": list(egogesture_folder.CLASSES), "clip_frames": 8, "clip_size": [24, 32]},
    "fusion": {"dropout": 0.0, "num_heads": 2},
    "mitigation": {"correlation_dim": 4},
    "space": {"num_nodes": 1, "kept_nodes": 1},
    "final_model": {"channels": 8},
    "backbones": {"depth": NETWORK, "video": {**NETWORK, "stem_frames": 3}},
    "pretraining": {"max_epochs": 12, "batch_size": 8, "folds": 0, "learning_rate": 0.003},
    "search": {"channels": 8, "epochs": 1, "batch_size": 16},
    # Small batches: the first epoch may already be the best, and has to be long enough for the moving averages.
    "training": {
        "max_epochs": 12,
        "patience": 12,
        "batch_size": 4,
        "learning_rate": 0.004,
        "unfreeze_backbones": False,
    },
    "gate": {"min_f1_m": 0.8, "above_reference": False},
}


@pytest.mark.long
def test_depth_is_learnt_and_completes_what_colour_shows(tmp_path):
    data = egogesture_folder.write_folder(tmp_path / "data", number=240)
    content = {
        **CONFIG,
        "data": {"source": "egogesture", "data_root": str(data)},
        "paths": {"root": str(tmp_path / "run")},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    finished = run_once(tmp_path / "run.yaml")
    assert finished.code == BLESSED, finished.text
    summary = summarise_run(finished.config.metadata_path)
    scores = summary.f1_m()
    print(scores)
    # Who knows one half and guesses the other is right once in two times; who knows nothing, once in four.
    assert 0.3 < scores["depth head"] < 0.8 and 0.3 < scores["video head"] < 0.8
    assert scores["fused"] > 0.8
    # Pushed, it tells near from far by the depth alone.
    answer = _answer(summary.pushed_path, colour_of=(0, 0), depth_of=(0, 2))
    assert answer["probabilities"].numpy().argmax(axis=1).tolist() == [0, 2]
    assert answer["video_belief"][0].numpy().tolist() == answer["video_belief"][1].numpy().tolist()


def _answer(model, colour_of, depth_of):
    """What a pushed model says of clips whose colour and depth are of these gestures."""
    generator = np.random.default_rng(99)
    clips = {
        index: [egogesture_folder.learnable_frame(index, step, generator) for step in range(9)] for index in (0, 2)
    }
    encode = tf.io.encode_png
    video = [[encode(colour).numpy() for colour, _ in clips[index]] for index in colour_of]
    depth = [[encode(depth[..., None]).numpy() for _, depth in clips[index]] for index in depth_of]
    return tf.saved_model.load(model).signatures["serve_json"](video=tf.constant(video), depth=tf.constant(depth))
