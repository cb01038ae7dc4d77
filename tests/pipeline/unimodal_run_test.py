"""The road with pictures alone: fusion taps all of one modality."""

from __future__ import annotations

import pathlib

import pytest
import tensorflow as tf
from coloured_shapes import write_shapes
from conftest import TINY, run_once, write_config

from pipeline.local_runner import BLESSED
from pipeline.run_summary import summarise_run


@pytest.mark.long
@pytest.mark.parametrize("unfrozen", [False, True])
def test_pictures_alone_are_trained_gated_and_served_without_a_text(tmp_path, unfrozen):
    config = write_config(
        tmp_path,
        write_shapes(tmp_path / "data"),
        fusion={**TINY["fusion"], "lfbc_taps": ["image_low"] * 2, "hfbc_taps": ["image_high"] * 2},
        training={**TINY["training"], "unfreeze_backbones": unfrozen},
        gate={"min_f1_m": 0.5, "above_reference": False},
    )
    finished = run_once(config)
    assert finished.code == BLESSED, finished.text
    summary = summarise_run(finished.config.metadata_path)
    assert set(summary.f1_m()) == {"image head", "fused"}
    signatures = tf.saved_model.load(summary.pushed_path).signatures
    assert set(signatures["serve_json"].structured_input_signature[1]) == {"image_bytes"}
    picture = next(pathlib.Path(tmp_path / "data" / "pictures").iterdir()).read_bytes()
    answer = signatures["serve_json"](image_bytes=tf.constant([picture]))
    assert not [name for name in answer if name.startswith("text")]
    assert float(answer["conflict"][0]) == 0.0
