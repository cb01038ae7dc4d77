import contextlib

import keras
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from sklearn.utils.class_weight import compute_sample_weight

from hfmnas_keras.optimization.class_weights import class_weights
from hfmnas_keras.optimization.losses import own_losses, task_loss


def test_single_label_equals_scikit_learn():
    generator = np.random.default_rng(0)
    labels, logits = generator.integers(0, 4, size=20), generator.normal(size=(20, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = sklearn.metrics.log_loss(labels, probabilities, labels=range(4))
    assert float(task_loss(labels, tf.constant(logits, tf.float32))) == pytest.approx(expected, rel=1e-5)


def test_multi_label_is_the_mean_over_rows_and_classes():
    generator = np.random.default_rng(0)
    labels, logits = (generator.random((20, 4)) < 0.5).astype("float32"), generator.normal(size=(20, 4))
    p = 1 / (1 + np.exp(-logits))
    expected = -(labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean()
    assert float(task_loss(labels, tf.constant(logits, tf.float32))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("multi_label", [False, True])
def test_label_smoothing(multi_label):
    logits = np.array([[2.0, -1.0, 0.5]])
    labels = np.array([[1.0, 0.0, 0.0]], "float32") if multi_label else np.array([0])
    if multi_label:
        targets, p = np.array([0.95, 0.05, 0.05]), 1 / (1 + np.exp(-logits[0]))
        expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean()
    else:
        targets = np.array([0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3])
        expected = -(targets * np.log(np.exp(logits[0]) / np.exp(logits[0]).sum())).sum()
    loss = task_loss(labels, tf.constant(logits, tf.float32), label_smoothing=0.1)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_half_precision_logits_give_a_float32_loss():
    loss = task_loss(np.array([1]), tf.constant([[20.0, -20.0]], tf.float16))
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(40.0)


@pytest.mark.parametrize("scoped", [False, True])
def test_own_losses_are_what_is_added_and_what_regularizers_take(scoped):
    inputs = keras.Input((2,))
    layer = keras.layers.Dense(1, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.5))
    model = keras.Model(inputs, keras.layers.ActivityRegularization(l1=0.1)(layer(inputs)))
    scope = keras.StatelessScope(collect_losses=True) if scoped else None
    with scope or contextlib.nullcontext(), tf.GradientTape() as tape:
        model(np.array([[2.0, 3.0]]), training=True)
        total = sum(own_losses(model, scope))
    # 0.1 * (2 + 3), and half the sum of two squares.
    assert float(total) == pytest.approx(0.5 + 1.0)
    np.testing.assert_allclose(
        tape.gradient(total, layer.kernel.value)[:, 0], [0.1 * 2 + 1.0, 0.1 * 3 + 1.0], rtol=1e-6
    )


@pytest.mark.parametrize("kind", ["balanced", "sqrt"])
def test_class_weights_of_one_label_equal_scikit_learn(kind):
    generator = np.random.default_rng(1)
    labels, logits = np.minimum(generator.geometric(0.5, size=40), 4) - 1, generator.normal(size=(40, 4))
    by_row = compute_sample_weight("balanced", labels)
    by_row = by_row if kind == "balanced" else np.sqrt(by_row)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    # scikit-learn divides by the sum of the weights.
    expected = sklearn.metrics.log_loss(labels, probabilities, sample_weight=by_row, labels=range(4))
    weights = class_weights(labels, 4, kind)
    assert float(task_loss(labels, tf.constant(logits, tf.float32), class_weights=weights)) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("kind", ["balanced", "sqrt"])
def test_class_weights_of_several_labels_equal_scikit_learn_label_by_label(kind):
    generator = np.random.default_rng(2)
    labels, logits = (generator.random((60, 3)) < [0.1, 0.5, 0.9]).astype("float32"), generator.normal(size=(60, 3))
    p = 1 / (1 + np.exp(-logits))
    losses = []
    for column in range(3):
        by_row = compute_sample_weight("balanced", labels[:, column])
        by_row = by_row if kind == "balanced" else np.sqrt(by_row)
        losses.append(sklearn.metrics.log_loss(labels[:, column], p[:, column], sample_weight=by_row))
    weights = class_weights(labels, 3, kind)
    assert float(task_loss(labels, tf.constant(logits, tf.float32), class_weights=weights)) == pytest.approx(
        np.mean(losses), rel=1e-5
    )


def test_no_class_weights_and_a_class_without_rows():
    assert class_weights(np.array([0, 1, 1]), 2, "none") is None
    assert np.isfinite(class_weights(np.array([0, 1, 1]), 3, "balanced")).all()
    assert np.isfinite(class_weights(np.eye(3)[:, :2], 2, "sqrt")).all()
    assert np.isfinite(class_weights(np.zeros((3, 2)), 2, "balanced")).all()
