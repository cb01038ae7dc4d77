import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from hfmnas_keras.data.batch_order import BatchOrder
from hfmnas_keras.data.device_rows import DeviceRows
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.data.streamed_rows import StreamedRows, feature_rows
from hfmnas_keras.models.hf_mnas.supernet import Supernet
from hfmnas_keras.optimization.loss_scale import computing_in
from hfmnas_keras.search.bilevel_step import BilevelStep
from hfmnas_keras.settings.search import SearchSettings
from tests.hfmnas_keras.search import search_case


class ToySupernet(keras.Model):
    """Everything a supernet may change while it runs: moving averages, random state, added losses."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(6, name="dense")
        self.norm = keras.layers.BatchNormalization(name="norm")
        self.dropout = keras.layers.Dropout(0.3, name="dropout")
        self.head = keras.layers.Dense(3, name="head")

    def build(self, input_shape):
        self.dense.build((None, 4))
        self.norm.build((None, 6))
        self.dropout.build((None, 6))
        self.head.build((None, 6))
        self.gamma_variable = self.add_weight(shape=(2, 2), initializer="normal", name="gamma")
        self.covariance = self.add_weight(shape=(6,), initializer="zeros", trainable=False, name="covariance")
        self.built = True

    def call(self, inputs, training=False):
        probabilities = ops.softmax(self.gamma_variable)
        x = self.dropout(self.norm(self.dense(inputs["x"]), training=training), training=training)
        mixed = probabilities[0, 0] * x + probabilities[0, 1] * ops.relu(x) + probabilities[1, 0] * ops.tanh(x)
        if training:
            self.covariance.assign(0.9 * self.covariance + 0.1 * ops.mean(ops.square(ops.stop_gradient(mixed)), axis=0))
            self.add_loss(0.1 * ops.mean(ops.square(mixed)))
        return self.head(mixed)

    @property
    def architecture_variables(self):
        return [self.gamma_variable]

    @property
    def weight_variables(self):
        return [v for v in self.trainable_variables if v is not self.gamma_variable]


def make_rows(rows, seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 4)).astype("float32")
    return FeatureSet(np.array([f"{i}" for i in range(rows)]), {"x": x}, (x[:, 0] > 0).astype("int64") + (x[:, 1] > 0))


def make_step(overflowing_row=None, **settings):
    keras.utils.set_random_seed(3)
    settings = SearchSettings(batch_size=4, epochs=3, **settings)
    with computing_in(settings.precision):
        model = ToySupernet()
        model({"x": np.zeros((2, 4), "float32")})
    rows = make_rows(22, 0), make_rows(9, 1)
    if overflowing_row is not None:
        for each in rows:
            each.features["x"][overflowing_row] = 1e30
    train, dev = (feature_rows(each, ("x",), settings.device_bytes) for each in rows)
    return BilevelStep(model, train, dev, settings, steps_per_epoch=6, architecture_learning_rate=0.01)


@pytest.fixture
def eager_steps():
    """Tracing would take all the time of few steps of a real supernet."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def snapshot(variables):
    return {v.path: np.array(ops.convert_to_numpy(v)) for v in variables}


def changed(before, after):
    return {path for path in before if not np.array_equal(before[path], after[path])}


def names_that_an_architecture_step_changes(step):
    rows = [np.array([0, 1, 2, 3], "int32")] * (2 if step.settings.second_order else 1)
    # some weight steps first, so that averages, slots and seeds are not at their start
    for number in range(3):
        step.weight_step(np.array([0, 1, 2, number], "int32"))
    before = snapshot(step.variables)
    for _ in range(2):
        step.architecture_step(*rows)
    assert len(before) == len(step.variables)
    own = {v.path for v in step.architecture_optimizer.variables} | {"architecture_loss_sum", "architecture_steps"}
    return changed(before, snapshot(step.variables)) - own


def assert_a_weight_step_leaves_gamma_and_beta(step):
    """After an architecture step: so there are moments that could go on moving them."""
    own = [*step.architecture_variables, *step.architecture_optimizer.variables]
    before, iterations = snapshot(own), int(step.weight_optimizer.iterations)
    assert any(values.any() for path, values in before.items() if path.endswith("gamma_momentum"))
    step.weight_step(np.array([0, 1, 2, 3], "int32"))
    # It was not skipped, as half precision may.
    assert int(step.weight_optimizer.iterations) == iterations + 1
    assert changed(before, snapshot(own)) == set()


@pytest.mark.parametrize("second_order", [False, True])
def test_architecture_step_changes_nothing_but_gamma_and_beta(second_order):
    step = make_step(second_order=second_order)
    assert names_that_an_architecture_step_changes(step) == {v.path for v in step.architecture_variables}


@pytest.mark.parametrize("second_order", [False, pytest.param(True, marks=pytest.mark.long)])
def test_steps_of_a_real_supernet_change_their_own_alone(second_order):
    keras.utils.set_random_seed(3)
    rows = search_case.make_rows(8, 0)
    supernet = Supernet(rows.feature_shapes, 3, **search_case.FUSION.supernet(), name="supernet")
    device_rows = DeviceRows(rows, tuple(rows.features))
    settings = SearchSettings(batch_size=4, epochs=3, second_order=second_order)
    step = BilevelStep(supernet, device_rows, device_rows, settings, 2, 0.01)
    before = snapshot(step.variables)
    assert names_that_an_architecture_step_changes(step) == {v.path for v in supernet.architecture_variables}
    assert all(np.isfinite(variable).all() for variable in supernet.architecture_variables)
    # All else has moved in the weight steps before, averages, running covariances and slots among it. But on a
    # 2x2 grid the scans have one step, in which nothing decays, and one node has no rival in importance.
    unmoved = set(before) - changed(before, snapshot(step.variables))
    assert {
        path for path in unmoved if not re.search("decay_log|importance|learning_rate|seed_generator", path)
    } == set()
    assert any(path.endswith("running_covariance") for path in before)
    assert_a_weight_step_leaves_gamma_and_beta(step)


def test_weight_step_of_a_real_supernet_leaves_gamma_and_beta_in_half_precision_and_second_order(eager_steps):
    keras.utils.set_random_seed(3)
    rows = search_case.make_rows(4, 0)
    supernet = Supernet(rows.feature_shapes, 3, **search_case.FUSION.supernet(), dtype="mixed_float16", name="supernet")
    device_rows = DeviceRows(rows, tuple(rows.features))
    settings = SearchSettings(batch_size=4, epochs=3, second_order=True, precision="mixed_float16")
    step = BilevelStep(supernet, device_rows, device_rows, settings, 2, 0.01)
    # Steps that overflow are skipped, each at half the scale of the one before. That of the look-ahead is the weights'.
    for _ in range(8):
        step.weight_step(np.array([0, 1, 2, 3], "int32"))
        step.architecture_step(np.array([0, 1, 2, 3], "int32"), np.array([3, 2, 1, 0], "int32"))
        if int(step.architecture_optimizer.iterations):
            break
    assert_a_weight_step_leaves_gamma_and_beta(step)


def test_weight_step_changes_all_but_gamma_and_beta():
    step = make_step()
    before = snapshot(step.model.variables)
    for _ in range(2):
        step.weight_step(np.array([0, 1, 2, 3], "int32"))
    names = changed(before, snapshot(step.model.variables))
    assert names == set(before) - {v.path for v in step.architecture_variables}


@pytest.mark.parametrize("decay", ["coupled", "decoupled"])
def test_weight_step_follows_adam_with_decay_on_kernels_only(decay):
    # Independent of the step: gradients by finite differences in float64, Adam's first step by hand. Dropout off.
    step = make_step(learning_rate=0.01, weight_decay=0.5, decay=decay)
    step.model.dropout.rate = 0.0
    rows = np.array([5, 6, 7, 8], "int32")
    x = step.train.inputs["x"].numpy()[rows].astype("float64")
    labels = step.train.labels_array[rows]
    w = {v.path: np.array(ops.convert_to_numpy(v), "float64") for v in step.model.variables}
    gamma = next(value for path, value in w.items() if path.endswith("gamma") and value.shape == (2, 2))
    p = np.exp(gamma) / np.exp(gamma).sum(axis=1, keepdims=True)
    head_path = next(path for path in w if path.endswith("head/kernel"))
    bias_path = next(path for path in w if path.endswith("head/bias"))

    def loss(kernel, bias):
        kernels = {path.split("/")[-2] + "/" + path.split("/")[-1]: value for path, value in w.items() if "/" in path}
        h = x @ kernels["dense/kernel"] + kernels["dense/bias"]
        h = (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0) + 1e-3)
        mixed = p[0, 0] * h + p[0, 1] * np.maximum(h, 0) + p[1, 0] * np.tanh(h)
        logits = mixed @ kernel + bias
        log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -log_probabilities[np.arange(4), labels].mean()

    def gradient(which):
        base = [w[head_path], w[bias_path]]
        result = np.zeros_like(base[which])
        for index in np.ndindex(result.shape):
            up, down = [b.copy() for b in base], [b.copy() for b in base]
            up[which][index] += 1e-5
            down[which][index] -= 1e-5
            result[index] = (loss(*up) - loss(*down)) / 2e-5
        return result

    expected_kernel_gradient = gradient(0) + (0.5 * w[head_path] if decay == "coupled" else 0.0)
    expected_bias_gradient = gradient(1)
    step.weight_step(rows)
    # Adam's first moment after one step is (1 - beta_1) times the gradient.
    momenta = {v.path: ops.convert_to_numpy(v) for v in step.weight_optimizer.variables if "momentum" in v.path}
    kernel_momentum = next(m for path, m in momenta.items() if "head_kernel" in path)
    bias_momentum = next(m for path, m in momenta.items() if "head_bias" in path)
    np.testing.assert_allclose(kernel_momentum / 0.1, expected_kernel_gradient, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(bias_momentum / 0.1, expected_bias_gradient, rtol=1e-3, atol=1e-5)
    # Adam's first step is the rate, against the sign.
    kept = 1.0 if decay == "coupled" else 1.0 - 0.01 * 0.5
    expected_kernel = kept * w[head_path] - 0.01 * np.sign(expected_kernel_gradient)
    kernel = next(v for v in step.model.variables if v.path == head_path)
    np.testing.assert_allclose(kernel, expected_kernel, atol=1e-5)


def test_decoupled_decay_of_gamma_and_beta_does_not_reach_the_gradient():
    momenta, moved = {}, {}
    for decay in ("coupled", "decoupled"):
        step = make_step(architecture_weight_decay=0.5, decay=decay)
        step.architecture_variables[0].assign(np.ones(step.architecture_variables[0].shape))
        step.architecture_step(np.array([0, 1, 2, 3], "int32"))
        variables = step.architecture_optimizer.variables
        momenta[decay] = ops.convert_to_numpy(next(v for v in variables if "momentum" in v.path))
        moved[decay] = ops.convert_to_numpy(step.architecture_variables[0])
    # The first moment is half the gradient.
    np.testing.assert_allclose(momenta["coupled"] - momenta["decoupled"], 0.5 * 0.5, rtol=1e-4)
    expected = 1.0 - 0.01 * 0.5 - 0.01 * np.sign(momenta["decoupled"])
    np.testing.assert_allclose(moved["decoupled"], expected, atol=1e-5)


def test_no_retracing_over_epochs():
    step = make_step()
    train, dev = BatchOrder(22, 4, seed=0), BatchOrder(9, 4, seed=0, stream=1)
    for number in range(12):
        step.architecture_step(dev.batch(number))
        step.weight_step(train.batch(number))
    step.dev_logits()
    step.dev_logits()
    assert step.traces == {"weights": 1, "architecture": 1, "predict": 1}
    assert step.compiled_steps["weights"].experimental_get_tracing_count() == 1


@pytest.mark.parametrize("second_order", [False, True])
def test_streamed_rows_give_the_same_bit_by_bit(second_order):
    finals = []
    orders = BatchOrder(22, 4, seed=0), BatchOrder(9, 4, seed=0, stream=1)
    for device_bytes in (10**6, 0):
        step = make_step(second_order=second_order, device_bytes=device_bytes)
        assert isinstance(step.train, StreamedRows) == (device_bytes == 0)
        for rows, order in zip((step.train, step.dev), orders, strict=True):
            rows.follow(order, 0)
        for number in range(9):
            weight_rows, dev_rows = (order.batch(number) for order in orders)
            step.architecture_step(dev_rows, *([weight_rows] if second_order else []))
            step.weight_step(weight_rows)
        step.dev_logits()
        values = [ops.convert_to_numpy(variable).tobytes() for variable in step.variables]
        finals.append((values, step.mean_losses(), step.dev_logits().tobytes()))
        assert step.traces == {"weights": 1, "architecture": 1, "predict": 1}
    assert finals[0] == finals[1]


def test_architecture_steps_draw_different_dropout_masks():
    step = make_step()
    seeds = []
    for _ in range(3):
        seeds.append(np.stack([np.array(value) for _, value in step._seeds_of_this_step()]))
        step.architecture_step(np.array([0, 1, 2, 3], "int32"))
    assert len({seed.tobytes() for seed in seeds}) == 3


def test_dev_logits_come_in_order_and_ignore_the_batch():
    step = make_step()
    logits = step.dev_logits()
    assert logits.shape == (9, 3)
    one = step.model({"x": step.dev.inputs["x"][4:5]}, training=False)
    np.testing.assert_allclose(logits[4:5], one, rtol=1e-5, atol=1e-6)


def test_divergence_is_an_error():
    step = make_step()
    step.model.head.kernel.assign(np.full((6, 3), np.nan, "float32"))
    step.weight_step(np.array([0, 1, 2, 3], "int32"))
    with pytest.raises(RuntimeError, match="diverged"):
        step.mean_losses()


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", ["weight", "architecture"])
def test_half_precision_steps_by_the_gradients_of_float32(precision, kind):
    momenta = []
    for step in (make_step(), make_step(precision=precision)):
        step.model.dropout.rate = 0.0
        getattr(step, f"{kind}_step")(np.array([0, 1, 2, 3], "int32"))
        optimizer = getattr(step, f"{kind}_optimizer")
        momenta.append([ops.convert_to_numpy(v) for v in optimizer.variables if "momentum" in v.path])
        assert {v.dtype for v in step.model.trainable_variables} == {"float32"}
    # A bias before a batch normalisation has no gradient but rounding.
    largest = max(np.abs(full).max() for full in momenta[0])
    for full, half in zip(*momenta, strict=True):
        np.testing.assert_allclose(half, full, rtol=0, atol=0.03 * largest)


@pytest.mark.parametrize("kind", ["weight", "architecture"])
def test_a_step_that_overflows_is_skipped(kind):
    step = make_step(overflowing_row=8, precision="mixed_float16")
    run = getattr(step, f"{kind}_step")
    run(np.array([0, 1, 2, 3], "int32"))
    losses, before = step.mean_losses(), snapshot(step.variables)
    run(np.array([0, 1, 2, 8], "int32"))
    after = snapshot(step.variables)
    assert changed(before, after) == {f"{kind}_loss_scale", f"{kind}_loss_scale_steps"}
    assert after[f"{kind}_loss_scale"] == before[f"{kind}_loss_scale"] / 2
    assert step.mean_losses() == losses
    run(np.array([0, 1, 2, 3], "int32"))
    assert all(np.isfinite(values).all() for values in snapshot(step.variables).values())
    assert {v.path for v in getattr(step, f"{kind}_optimizer").variables if "momentum" in v.path} <= changed(
        after, snapshot(step.variables)
    )


def test_a_network_that_stays_infinite_is_an_error():
    step = make_step(precision="mixed_float16")
    step.model.head.kernel.assign(np.full((6, 3), np.nan, "float32"))
    for _ in range(16):
        step.mean_losses()
        step.weight_step(np.array([0, 1, 2, 3], "int32"))
    with pytest.raises(RuntimeError, match="diverged"):
        step.mean_losses()


def test_variables_must_be_divided_without_rest():
    class Careless(ToySupernet):
        @property
        def weight_variables(self):
            return self.trainable_variables[:-2]

    model = Careless()
    model({"x": np.zeros((2, 4), "float32")})
    rows = DeviceRows(make_rows(8, 0), ("x",))
    with pytest.raises(ValueError, match="all trainable variables"):
        BilevelStep(model, rows, rows, SearchSettings(batch_size=4), 2, 0.01)
