import numpy as np
import pytest
import scipy.special
from sklearn.metrics import average_precision_score, f1_score, log_loss

from hfmnas_keras.optimization.epoch_choice import best_epoch, dev_scores


def test_a_lucky_epoch_among_worse_ones_is_not_the_best():
    assert best_epoch([0.1, 0.9, 0.2, 0.7, 0.7], [1.0] * 5) == 4
    assert best_epoch([0.3], [1.0]) == 0


def test_of_equal_scores_the_lowest_loss_decides_and_of_equal_losses_the_first():
    assert best_epoch([1.0] * 5, [5.0, 4.0, 2.0, 2.1, 4.0]) == 2
    assert best_epoch([1.0] * 3, [1.0] * 3) == 0


def test_scores_of_one_label_equal_scikit_learn():
    generator = np.random.default_rng(0)
    labels, logits = generator.integers(0, 3, 40), generator.normal(size=(40, 3)).astype("float32")
    probabilities = scipy.special.softmax(logits.astype("float64"), axis=1)
    scores = dev_scores(labels, logits)
    assert scores == {
        "dev_loss": pytest.approx(log_loss(labels, probabilities), rel=1e-5),
        "dev_average_precision": pytest.approx(average_precision_score(np.eye(3)[labels], probabilities)),
        "dev_macro_f1": pytest.approx(f1_score(labels, logits.argmax(axis=1), average="macro")),
    }


def test_scores_of_several_labels_are_at_the_thresholds():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(80, 3)).astype("float32") - 2
    labels = (generator.random((80, 3)) < scipy.special.expit(logits)).astype("float32")
    scores = dev_scores(labels, logits, "per_class")
    probabilities = scipy.special.expit(logits.astype("float64"))
    given = probabilities > scores["thresholds"]
    assert scores["dev_macro_f1"] == pytest.approx(f1_score(labels, given, average="macro", zero_division=0))
    assert scores["dev_macro_f1"] > dev_scores(labels, logits, "fixed", 0.5)["dev_macro_f1"] + 0.1
    assert scores["dev_average_precision"] == pytest.approx(average_precision_score(labels, probabilities))
