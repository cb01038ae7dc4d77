import numpy as np
import pytest
import scipy.special
from sklearn.metrics import average_precision_score

from hfmnas_keras.optimization.average_precision import macro_average_precision


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_multi_label_equals_scikit_learn_with_ties(decimals):
    generator = np.random.default_rng(decimals)
    labels = (generator.random((60, 5)) < 0.3).astype("float32")
    logits = np.round(generator.normal(size=(60, 5)) + labels, decimals)
    expected = average_precision_score(labels, logits, average="macro")
    assert macro_average_precision(labels, logits) == pytest.approx(expected, abs=1e-12)


def test_single_label_equals_scikit_learn_on_probabilities_and_leaves_out_absent_classes():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 50)
    logits = generator.normal(size=(50, 4)) * 3
    probabilities = scipy.special.softmax(logits, axis=1)
    expected = np.mean([average_precision_score(labels == k, probabilities[:, k]) for k in range(3)])
    assert macro_average_precision(labels, logits) == pytest.approx(expected, abs=1e-12)
    # No threshold, and no shift of all logits of a row, has a say.
    assert macro_average_precision(labels, logits + 7) == pytest.approx(expected, abs=1e-12)


def test_no_rows_of_any_class_and_bad_input():
    assert macro_average_precision(np.zeros((4, 2)), np.zeros((4, 2))) == 0.0
    with pytest.raises(ValueError, match="2 of 3 rows have NaN"):
        macro_average_precision(np.array([0, 1, 0]), np.array([[0, np.nan], [np.nan, 1], [0, 1.0]]))
    with pytest.raises(ValueError, match=r"labels \(3, 2\), logits \(3, 4\)"):
        macro_average_precision(np.zeros((3, 2)), np.zeros((3, 4)))
