"""The second-order architecture step against finite differences and a bilevel problem with a known solution."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.data.device_rows import DeviceRows
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.search.bilevel_step import BilevelStep
from hfmnas_keras.settings.search import SearchSettings


class MixedLayer(keras.Model):
    """Two operations on one product, and a loss of its own while it trains."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(3, 2), initializer="normal", name="kernel")
        self.gamma = self.add_weight(shape=(1, 2), initializer="zeros", name="gamma")
        self.built = True

    def call(self, inputs, training=False):
        probabilities = ops.softmax(self.gamma)[0]
        product = inputs["x"] @ self.kernel
        if training:
            self.add_loss(0.3 * ops.mean(ops.square(self.kernel)) * probabilities[1])
        return 2.0 * (probabilities[0] * product + probabilities[1] * ops.tanh(product))

    @property
    def architecture_variables(self):
        return [self.gamma]

    @property
    def weight_variables(self):
        return [self.kernel]


class Quadratic(keras.Model):
    """Inner problem (w + a)^2 * steepness / 2, so w*(a) = -a; the outer one reads w in some rows and a in others."""

    steepness = 4.0

    def build(self, input_shape):
        self.w = self.add_weight(shape=(), initializer="zeros", name="w")
        self.a = self.add_weight(shape=(), initializer="zeros", name="a")
        self.built = True

    def call(self, inputs, training=False):
        x = inputs["x"]
        if training:
            self.add_loss(0.5 * self.steepness * ops.square(self.w + self.a))
        # The logit of class 1 against class 0; train rows are zeros, so that only the added loss moves w.
        logit = x[:, 0] * self.w + x[:, 1] * self.a
        return ops.stack([ops.zeros_like(logit), logit], axis=1)

    @property
    def architecture_variables(self):
        return [self.a]

    @property
    def weight_variables(self):
        return [self.w]


def make_rows(x, labels):
    return FeatureSet(np.array([str(i) for i in range(len(x))]), {"x": x.astype("float32")}, np.array(labels))


def make_step(model, train, dev, **settings):
    model({"x": np.zeros((1, train.features["x"].shape[1]), "float32")})
    settings = SearchSettings(batch_size=train.num_rows, epochs=1000, **settings)
    rows = [DeviceRows(split, ("x",)) for split in (train, dev)]
    return BilevelStep(model, *rows, settings, steps_per_epoch=1, architecture_learning_rate=0.01)


def cross_entropy(logits, labels):
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return -log_probabilities[np.arange(len(labels)), labels].mean()


def finite_differences(function, point, size):
    gradient = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        offset = np.zeros_like(point)
        offset[index] = size
        gradient[index] = (function(point + offset) - function(point - offset)) / (2 * size)
    return gradient


@pytest.mark.parametrize("look_ahead_rate", [None, 0.7])
def test_gradient_equals_finite_differences_through_the_look_ahead(look_ahead_rate):
    generator = np.random.default_rng(0)
    train, dev = (
        make_rows(generator.normal(size=(6, 3)), generator.integers(0, 2, 6)),
        make_rows(generator.normal(size=(6, 3)), generator.integers(0, 2, 6)),
    )
    keras.utils.set_random_seed(1)
    step = make_step(
        MixedLayer(),
        train,
        dev,
        second_order=True,
        look_ahead_rate=look_ahead_rate,
        learning_rate=0.5,
        weight_decay=0.2,
        architecture_weight_decay=0.3,
        # As the definition below has it: in the gradient.
        decay="coupled",
    )
    step.model.gamma.assign([[0.4, -0.3]])
    step.model.kernel.assign(generator.normal(size=(3, 2)))
    kernel = ops.convert_to_numpy(step.model.kernel).astype("float64")
    gamma = ops.convert_to_numpy(step.model.gamma).astype("float64")

    # In float64, from the definition.
    def loss(rows, kernel, gamma):
        p = np.exp(gamma[0]) / np.exp(gamma[0]).sum()
        product = rows.features["x"].astype("float64") @ kernel
        return cross_entropy(2 * (p[0] * product + p[1] * np.tanh(product)), rows.labels), p

    def train_loss(kernel, gamma):
        task, p = loss(train, kernel, gamma)
        return task + 0.3 * np.mean(kernel**2) * p[1] + 0.2 * (kernel**2).sum() / 2

    def unrolled(gamma):
        descent = finite_differences(lambda kernel: train_loss(kernel, gamma), kernel, 1e-4)
        return loss(dev, kernel - (look_ahead_rate or 0.5) * descent, gamma)[0]

    expected = finite_differences(unrolled, gamma, 1e-4) + 0.3 * gamma
    first_order = finite_differences(lambda gamma: loss(dev, kernel, gamma)[0], gamma, 1e-4) + 0.3 * gamma
    rows = np.arange(6, dtype="int32")
    step.architecture_step(rows, rows)
    # Adam's first moment after one step is (1 - beta_1) times the gradient, beta_1 = 0.5.
    momentum = next(v for v in step.architecture_optimizer.variables if "momentum" in v.path)
    received = 2.0 * ops.convert_to_numpy(momentum)
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=1e-5)
    assert np.abs(expected - first_order).max() > 0.05
    np.testing.assert_array_equal(step.model.kernel, kernel.astype("float32"))


@pytest.mark.parametrize("second_order", [False, True])
def test_only_the_second_order_reaches_the_bilevel_solution(second_order):
    """At w*(a) = -a, dev rows of which 3 in 4 ask for a positive w and half for a positive a.

    d/da of the dev loss along w*(a) vanishes where sigmoid(-a) - 3/4 = sigmoid(a) - 1/2, so sigmoid(a) = 3/8. The
    first order holds w fixed and stops where sigmoid(a) = 1/2.
    """
    dev = make_rows(np.array([[1, 0]] * 4 + [[0, 1]] * 4), [1, 1, 1, 0, 1, 1, 0, 0])
    train = make_rows(np.zeros((8, 2)), [0] * 8)
    model = Quadratic()
    step = make_step(
        model,
        train,
        dev,
        second_order=second_order,
        # The step that solves a quadratic at once; the default, the weights' rate, goes the same way in smaller steps.
        look_ahead_rate=1.0 / Quadratic.steepness if second_order else None,
        learning_rate=0.05,
        min_learning_rate=0.05,
        architecture_weight_decay=0.0,
    )
    model.a.assign(0.8)
    rows = np.arange(8, dtype="int32")
    for _ in range(400):
        step.architecture_step(*[rows] * (2 if second_order else 1))
        step.weight_step(rows)
    probability = 3 / 8 if second_order else 1 / 2
    expected = math.log(probability / (1 - probability))
    assert float(model.a) == pytest.approx(expected, abs=0.02)
    assert float(model.w) == pytest.approx(-expected, abs=0.02)
    assert step.traces == {"weights": 1, "architecture": 1, "predict": 0}


def test_a_rate_of_the_look_ahead_without_it_is_a_contradiction():
    with pytest.raises(ValueError, match="second_order: true"):
        SearchSettings(look_ahead_rate=0.1)
    with pytest.raises(ValueError, match="look_ahead_rate"):
        SearchSettings(look_ahead_rate=0.0, second_order=True)
