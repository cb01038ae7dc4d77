import numpy as np
import pytest
import scipy.special
from sklearn.metrics import f1_score

from hfmnas_keras.evidence.thresholds import choose_thresholds, given_labels
from hfmnas_keras.optimization.f1_score import macro_f1

ROWS, CLASSES = 400, 4


def make_rows(seed, rows=ROWS):
    """Calibrated logits of labels of which most are rare: F1 is best below one half."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, CLASSES)) * 1.5 + [-3.0, -2.0, -1.0, -2.5]
    return (generator.random((rows, CLASSES)) < scipy.special.expit(logits)).astype("float32"), logits


def score(labels, logits, thresholds):
    given = scipy.special.expit(logits) > thresholds
    return f1_score(labels, given, average="macro", zero_division=0)


def test_one_threshold_is_near_the_best_that_scikit_learn_finds():
    labels, logits = make_rows(0)
    thresholds = choose_thresholds(labels, logits, "dev")
    assert len(set(thresholds)) == 1
    best = max(score(labels, logits, t) for t in np.linspace(0.01, 0.99, 99))
    assert score(labels, logits, thresholds) > best - 0.02 > score(labels, logits, 0.5) + 0.05
    # On other rows too.
    assert np.mean([score(*make_rows(n), thresholds) - score(*make_rows(n), 0.5) for n in range(1, 9)]) > 0.1


def test_each_label_has_its_own_threshold_and_few_rows_draw_it_to_the_common_one():
    labels, logits = make_rows(0)
    logits = logits + [0.0, 0.0, 3.0, -3.0]
    common = scipy.special.logit(choose_thresholds(labels, logits, "dev"))
    own = scipy.special.logit(choose_thresholds(labels, logits, "per_class"))
    assert score(labels, logits, scipy.special.expit(own)) > score(labels, logits, scipy.special.expit(common)) + 0.05
    few = labels.copy()
    few[np.flatnonzero(few[:, 3])[1:], 3] = 0
    drawn = scipy.special.logit(choose_thresholds(few, logits, "per_class"))
    common = scipy.special.logit(choose_thresholds(few, logits, "dev"))
    candidates = np.linspace(-12, 12, 2001)
    best = max(candidates, key=lambda t: f1_score(few[:, 3], logits[:, 3] > t))
    # One row weighs 1 / 21.
    assert abs(drawn[3] - common[3]) < abs(best - common[3]) / 10
    none = labels.copy()
    none[:, 3] = 0
    chosen = choose_thresholds(none, logits, "per_class")
    assert chosen[3] == pytest.approx(choose_thresholds(none, logits, "dev")[3])


def test_given_labels_are_those_whose_probability_is_above_and_macro_f1_takes_them():
    labels, logits = make_rows(3, rows=50)
    thresholds = np.array([0.05, 0.2, 0.5, 0.9])
    given = given_labels(logits, thresholds)
    np.testing.assert_array_equal(given, scipy.special.expit(logits) > thresholds)
    assert macro_f1(labels, logits, thresholds) == pytest.approx(score(labels, logits, thresholds))


def test_fixed_single_rows_and_bad_input():
    labels, logits = make_rows(0, rows=5)
    np.testing.assert_array_equal(choose_thresholds(labels, logits, "fixed", 0.3), [0.3] * CLASSES)
    for kind in ("dev", "per_class"):
        assert np.isfinite(choose_thresholds(labels[:1], logits[:1], kind)).all()
        assert np.isfinite(choose_thresholds(np.zeros((5, CLASSES)), logits, kind)).all()
    with pytest.raises(ValueError, match="'per_class'"):
        choose_thresholds(labels, logits, "best")
    with pytest.raises(ValueError, match=r"logits \(5, 3\)"):
        choose_thresholds(labels, logits[:, :3], "dev")


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_no_threshold_is_rounded_to_0_or_1_however_far_the_logits_are(scale):
    labels = np.array([[1, 0], [1, 1], [0, 0], [0, 1]])
    logits = np.array([[2.0, -3.0], [1.5, 4.0], [-2.0, -1.0], [1.4, 3.0]]) * scale
    for kind in ("dev", "per_class"):
        thresholds = choose_thresholds(labels, logits + 100.0 * scale, kind).astype("float32")
        assert ((thresholds > 0) & (thresholds < 1)).all()
        assert np.isfinite(macro_f1(labels, logits, thresholds))
