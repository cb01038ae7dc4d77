"""Features that BackboneTrainer has computed are taken, if they are of the very rows."""

import numpy as np
import pytest
from tfx.types import artifact_utils, standard_artifacts

from components.feature_extractor.executor import _known
from hfmnas_keras.data.feature_files import write_feature_set
from hfmnas_keras.data.feature_set import FeatureSet

IDS = np.array(["a", "b", "c"])
LOW = np.arange(6, dtype="float32").reshape(3, 2)


@pytest.fixture
def taps(tmp_path):
    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path)
    artifact.split_names = artifact_utils.encode_split_names(["train"])
    features = {"image_low": LOW, "image_high": LOW + 1}
    write_feature_set(
        FeatureSet(IDS, features, np.zeros(3, "int64")), artifact_utils.get_split_uri([artifact], "train")
    )
    return artifact


def test_of_the_same_rows(taps):
    found = _known(taps, "train", IDS)
    assert set(found) == {"image_low", "image_high"}
    np.testing.assert_array_equal(found["image_low"], LOW)


def test_of_a_split_or_a_run_without_them(taps):
    assert _known(taps, "dev", IDS) == {}
    without = standard_artifacts.Examples()
    without.split_names = artifact_utils.encode_split_names([])
    assert _known(without, "train", IDS) == {} == _known(standard_artifacts.Examples(), "train", IDS)


def test_of_other_rows(taps):
    with pytest.raises(RuntimeError, match="train split are of other rows than the examples: 3 and 2"):
        _known(taps, "train", IDS[:2])
    with pytest.raises(RuntimeError, match="of other rows"):
        _known(taps, "train", IDS[::-1])
