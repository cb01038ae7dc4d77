import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.data.feature_files import read_feature_set, write_feature_set
from hfmnas_keras.data.feature_set import FeatureSet


def make_rows(rows=7, multi_label=False, tokens=True):
    generator = np.random.default_rng(0)
    features = {
        "text_low": generator.normal(size=(rows, 5)).astype("float32"),
        "image_low": generator.normal(size=(rows, 2, 2, 3)).astype("float32"),
    }
    labels = (generator.random((rows, 4)) < 0.5).astype("float32") if multi_label else generator.integers(0, 4, rows)
    ids = np.array([f"é-{i}" for i in range(rows)])
    return FeatureSet(ids, features, labels, generator.integers(0, 9, (rows, 6)) if tokens else None)


@pytest.mark.parametrize(("multi_label", "tokens"), [(False, True), (True, False)])
@pytest.mark.parametrize("rows_per_file", [3, 100])
def test_round_trip_is_exact(tmp_path, multi_label, tokens, rows_per_file):
    rows = make_rows(7, multi_label, tokens)
    files = write_feature_set(rows, tmp_path, rows_per_file)
    assert [pathlib.Path(path).name for path in files] == (
        ["features-00000-of-00003.gz", "features-00001-of-00003.gz", "features-00002-of-00003.gz"]
        if rows_per_file == 3
        else ["features-00000-of-00001.gz"]
    )
    again = read_feature_set(tmp_path)
    assert again.ids.tolist() == rows.ids.tolist()
    assert again.features.keys() == rows.features.keys()
    for name, array in rows.features.items():
        assert again.features[name].dtype == "float32"
        np.testing.assert_array_equal(again.features[name], array)
    assert again.labels.dtype == rows.labels.dtype
    np.testing.assert_array_equal(again.labels, rows.labels)
    if tokens:
        np.testing.assert_array_equal(again.tokens, rows.tokens)
    else:
        assert again.tokens is None
    # nothing temporary is left
    assert len(list(tmp_path.iterdir())) == len(files) + 1


def test_files_are_plain_examples(tmp_path):
    rows = make_rows(3)
    (path,) = write_feature_set(rows, tmp_path)
    serialized = next(iter(tf.data.TFRecordDataset(path, compression_type="GZIP"))).numpy()
    feature = tf.train.Example.FromString(serialized).features.feature
    np.testing.assert_array_equal(
        np.array(feature["image_low"].float_list.value, "float32"), rows.features["image_low"][0].ravel()
    )
    assert feature["label"].int64_list.value == [rows.labels[0]]
    assert feature["id"].bytes_list.value == ["é-0".encode()]


def test_no_rows(tmp_path):
    write_feature_set(make_rows(0), tmp_path)
    assert read_feature_set(tmp_path).num_rows == 0


def test_truncated_file(tmp_path):
    (path,) = map(pathlib.Path, write_feature_set(make_rows(50), tmp_path))
    content = path.read_bytes()
    for length in (0, len(content) // 2):
        path.write_bytes(content[:length])
        with pytest.raises(RuntimeError, match="features-00000"):
            read_feature_set(tmp_path)
    path.unlink()
    with pytest.raises(RuntimeError, match="features-00000"):
        read_feature_set(tmp_path)


@pytest.mark.parametrize("promised", [6, 8])
def test_row_count_is_checked(tmp_path, promised):
    write_feature_set(make_rows(7), tmp_path)
    description = json.loads((tmp_path / "features.json").read_text())
    description["files"][0]["rows"] = promised
    (tmp_path / "features.json").write_text(json.dumps(description))
    with pytest.raises(RuntimeError, match=f"expected {promised}"):
        read_feature_set(tmp_path)


def test_shapes_are_checked(tmp_path):
    write_feature_set(make_rows(7), tmp_path)
    description = json.loads((tmp_path / "features.json").read_text())
    description["features"]["text_low"] = [4]
    (tmp_path / "features.json").write_text(json.dumps(description))
    with pytest.raises(RuntimeError, match="text_low"):
        read_feature_set(tmp_path)


def test_unfinished_folder(tmp_path):
    write_feature_set(make_rows(7), tmp_path)
    (tmp_path / "features.json").unlink()
    with pytest.raises(ValueError, match="never finished"):
        read_feature_set(tmp_path)
