import json

import numpy as np
import pytest

from hfmnas_keras.backbones.text_backbone import text_backbone
from hfmnas_keras.pretraining.extraction import extract_features, read_backbones
from hfmnas_keras.settings.backbones import TextBackboneSettings

TOKENS = np.random.default_rng(0).integers(0, 9, size=(11, 4))
IDS = [str(number) for number in range(11)]


@pytest.fixture
def folder(tmp_path):
    settings = TextBackboneSettings(embedding_dim=3, hidden_units=(4, 6), pieces=2)
    (tmp_path / "text").mkdir()
    text_backbone(9, 4, 2, settings).save(tmp_path / "text" / "reference.keras")
    record = {"version": 1, "seed": 0, "modalities": {"text": {"folds": 0}}}
    (tmp_path / "backbones.json").write_text(json.dumps(record))
    return tmp_path


def test_batches_do_not_change_the_features(folder):
    whole = extract_features(folder, IDS, {"text": TOKENS}, "train")
    parts = extract_features(folder, IDS, {"text": TOKENS}, "dev", batch_size=3)
    assert whole["text_low"].dtype == np.float32
    for name in ("text_low", "text_high"):
        np.testing.assert_allclose(whole[name], parts[name], atol=1e-6)


def test_no_rows_give_empty_features(folder):
    assert extract_features(folder, [], {"text": TOKENS[:0]}, "test")["text_high"].shape == (0, 6)


def test_errors_say_what_is_wrong(folder):
    with pytest.raises(ValueError, match="no backbones for audio"):
        extract_features(folder, IDS, {"audio": TOKENS}, "dev")
    with pytest.raises(ValueError, match="needs an id"):
        extract_features(folder, IDS[1:], {"text": TOKENS}, "dev")
    (folder / "backbones.json").write_text(json.dumps({"version": 1, "seed": 0, "modalities": {"text": {"folds": 2}}}))
    with pytest.raises(RuntimeError, match="fold_0.keras is missing"):
        extract_features(folder, IDS, {"text": TOKENS}, "train")
    for content in ("[]", "{", '{"version": 2}'):
        (folder / "backbones.json").write_text(content)
        with pytest.raises(RuntimeError, match="pretrain_backbones"):
            read_backbones(folder)
