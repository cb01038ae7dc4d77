import numpy as np

from benchmarks.audit import precisions
from hfmnas_keras import FeatureSet


def test_each_ranking_finds_its_own_kind():
    generator = np.random.default_rng(0)
    labels = np.arange(400) % 4
    # What either modality shows is the class, quite clearly.
    features = {
        f"{modality}_{level}": (6 * np.eye(4)[labels] + generator.normal(size=(400, 4))).astype("float32")
        for modality in ("text", "image")
        for level in ("low", "high")
    }
    rows = FeatureSet(np.arange(400).astype(str), features, labels, tokens=np.arange(400)[:, np.newaxis])
    found = precisions(rows, seed=1)
    swapped, wrong, either = found["label_doubt"]
    assert wrong > 0.85 and either == swapped + wrong
    # A text of the same class, one in four, contradicts nothing.
    assert found["mismatch"][0] > 0.55 and found["mismatch"][1] < 0.1
    assert found["mismatch"][0] > 2 * found["loss of the model of both"][0]
