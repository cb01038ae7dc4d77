import numpy as np
import pytest

from hfmnas_keras.pretraining.absent_features import filled_features, mean_features

LACKING = {"text": np.array([False, True, False]), "image": np.zeros(3, bool)}


def features():
    text = np.array([[1.0, 2.0], [100.0, 100.0], [3.0, 6.0]], "float32")
    return {"text_low": text, "text_high": -text, "image_low": np.ones((3, 2, 2, 1), "float32")}


def test_a_row_that_lacks_a_modality_has_the_mean_of_those_that_have_it():
    given = features()
    means = mean_features(given, LACKING)
    assert set(means) == {"text_low", "text_high"}
    filled = filled_features(given, LACKING, means)
    np.testing.assert_array_equal(filled["text_low"], [[1, 2], [2, 4], [3, 6]])
    np.testing.assert_array_equal(filled["text_high"], [[-1, -2], [-2, -4], [-3, -6]])
    assert filled["image_low"] is given["image_low"] and given["text_low"][1, 0] == 100


def test_dev_takes_the_means_of_train_and_its_own_where_train_has_none():
    means = {"text_low": np.array([7.0, 8.0], "float32")}
    filled = filled_features(features(), LACKING, means)
    np.testing.assert_array_equal(filled["text_low"][1], [7, 8])
    np.testing.assert_array_equal(filled["text_high"][1], [-2, -4])


def test_a_modality_that_no_row_has_is_told():
    with pytest.raises(ValueError, match="No row has text"):
        mean_features(features(), {"text": np.ones(3, bool)})
