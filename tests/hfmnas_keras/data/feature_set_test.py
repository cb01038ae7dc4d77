import numpy as np

from hfmnas_keras import FeatureSet


def test_a_feature_set_is_shown_in_one_line():
    ids = np.array([str(row) for row in range(1000)])
    features = {"text_low": np.zeros((1000, 4)), "image_low": np.zeros((1000, 2, 2, 3))}
    shown = repr(FeatureSet(ids, features, np.zeros(1000, "int64"), tokens=np.zeros((1000, 7), "int64")))
    assert shown == "FeatureSet(1000 rows of class ids: text_low (4,), image_low (2, 2, 3), tokens (7,))"
    assert "1000 rows of 5 labels" in repr(FeatureSet(ids, features, np.zeros((1000, 5))))
