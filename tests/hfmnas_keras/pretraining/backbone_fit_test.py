import keras
import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_sample_weight

from hfmnas_keras.pretraining.backbone_fit import BackboneFit
from hfmnas_keras.settings.pretraining import PretrainingSettings

RATE = 1e-5


def linear(classes):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(classes)])


def settings(**changes):
    return PretrainingSettings(batch_size=64, learning_rate=RATE, weight_decay=0.0, **changes)


def rows():
    generator = np.random.default_rng(0)
    return generator.normal(size=(64, 3)).astype("float32"), generator.choice(3, size=64, p=[0.8, 0.15, 0.05])


@pytest.mark.parametrize("kind, power", [("none", 0.0), ("sqrt", 0.5), ("balanced", 1.0)])
def test_classes_weigh_as_scikit_learns(kind, power):
    inputs, labels = rows()
    network = linear(3)
    logits = np.asarray(network(inputs), "float64")
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    weights = compute_sample_weight("balanced", labels) ** power
    fit = BackboneFit(network, settings(max_epochs=1, class_weights=kind), "text")
    curves = fit.run_watched(inputs, labels, inputs, labels)
    np.testing.assert_allclose(
        curves["train_loss"][0], log_loss(labels, probabilities, sample_weight=weights), rtol=1e-5
    )


def test_labels_weigh_by_the_rows_of_the_fit():
    inputs, labels = rows()
    marks = np.eye(3, dtype="float32")[labels]
    chosen = np.arange(40)
    network = linear(3)
    logits = np.asarray(network(inputs[chosen]), "float64")
    expected = [
        log_loss(
            marks[chosen, label],
            1 / (1 + np.exp(-logits[:, label])),
            sample_weight=np.sqrt(compute_sample_weight("balanced", marks[chosen, label])),
        )
        for label in range(3)
    ]
    fit = BackboneFit(network, settings(max_epochs=1), "text")
    fit.reset(inputs, marks, chosen)
    np.testing.assert_allclose(fit._epoch(inputs, marks, chosen, 0), np.mean(expected), rtol=1e-5)


def test_the_rate_falls_by_half_a_cosine_and_the_last_epoch_stays():
    """Where the gradient hardly changes Adam moves a weight by its rate: here one step an epoch, four epochs."""
    inputs, labels = rows()
    network = linear(3)
    before = np.asarray(network.get_weights()[0])
    curves = BackboneFit(network, settings(max_epochs=4), "text").run_watched(inputs, labels, inputs, labels)
    assert len(curves["dev_average_precision"]) == 4
    travel = np.abs(np.asarray(network.get_weights()[0]) - before)
    expected = RATE * sum(0.5 * (1 + np.cos(np.pi * epoch / 4)) for epoch in range(4))
    np.testing.assert_allclose(travel, expected, rtol=0.02)
