import numpy as np
import pytest
import sklearn.metrics

from hfmnas_keras.optimization.f1_score import macro_f1


@pytest.mark.parametrize("seed", range(5))
def test_single_label_equals_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    # class 6 never occurs
    labels, logits = generator.integers(0, 6, size=40), generator.normal(size=(40, 7))
    expected = sklearn.metrics.f1_score(
        labels, logits.argmax(axis=1), labels=range(7), average="macro", zero_division=0
    )
    assert macro_f1(labels, logits) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_multi_label_equals_scikit_learn(threshold):
    generator = np.random.default_rng(1)
    labels = (generator.random((40, 5)) < 0.3).astype("float32")
    labels[:, 4] = 0
    logits = generator.normal(size=(40, 5)) - 0.5
    predicted = 1 / (1 + np.exp(-logits)) > threshold
    expected = sklearn.metrics.f1_score(labels, predicted, average="macro", zero_division=0)
    assert macro_f1(labels, logits, threshold) == pytest.approx(expected, abs=1e-12)


def test_refuses_nan_and_wrong_shapes():
    with pytest.raises(ValueError, match="NaN"):
        macro_f1(np.array([0, 1]), np.array([[0.0, np.nan], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="Labels must be"):
        macro_f1(np.array([0, 1, 1]), np.zeros((2, 2)))
