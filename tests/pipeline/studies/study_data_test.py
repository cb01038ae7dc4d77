from __future__ import annotations

import dataclasses
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tiny_study import make_rows

from hfmnas_keras.data.feature_files import write_feature_set
from pipeline.studies.study_data import digest_of_rows


def test_the_digest_is_of_the_rows_and_not_of_their_files(tmp_path):
    rows = make_rows(12, seed=0)
    reordered = dataclasses.replace(rows, features=dict(reversed(rows.features.items())))
    features = {**rows.features, "text_low": rows.features["text_low"].copy()}
    features["text_low"][3, 2] += 1e-3
    folders = {
        "one": (rows, 4096),
        "files": (rows, 5),
        "order": (reordered, 4096),
        "value": (dataclasses.replace(rows, features=features), 4096),
        "label": (dataclasses.replace(rows, labels=rows.labels[::-1].copy()), 4096),
        "id": (dataclasses.replace(rows, ids=rows.ids[::-1].copy()), 4096),
    }
    for name, (written, rows_per_file) in folders.items():
        write_feature_set(written, tmp_path / name, rows_per_file)
    digests = {name: digest_of_rows({"train": str(tmp_path / name)}) for name in folders}
    assert digests["one"] == digests["files"] == digests["order"]
    assert len(set(digests.values())) == 4
    assert digest_of_rows({"dev": str(tmp_path / "one")}) != digests["one"]
