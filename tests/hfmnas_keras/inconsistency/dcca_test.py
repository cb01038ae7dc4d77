import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.inconsistency.dcca import CorrelationLoss

DIM = 16


def correlations_in_float64(view_1, view_2, regularisation=1e-2):
    """Regularised canonical correlations by inverse square roots and an SVD, all in float64."""
    view_1, view_2 = (np.asarray(v, "float64").reshape(-1, v.shape[-1]) for v in (view_1, view_2))
    view_1, view_2 = view_1 - view_1.mean(0), view_2 - view_2.mean(0)
    rows, dim = view_1.shape

    def inverse_root(view):
        own = view.T @ view / (rows - 1)
        own = own + (regularisation * np.trace(own) / dim + 1e-6) * np.eye(dim)
        values, vectors = np.linalg.eigh(own)
        return vectors @ np.diag(values**-0.5) @ vectors.T

    return np.linalg.svd(inverse_root(view_1) @ (view_1.T @ view_2 / (rows - 1)) @ inverse_root(view_2))[1]


@pytest.fixture(scope="module")
def compiled_loss():
    """Loss and gradients in one compiled function, as a training step has them."""
    layer = CorrelationLoss(running_rate=1.0)
    layer.build([(None, DIM), (None, DIM)])

    @tf.function(reduce_retracing=True, input_signature=[tf.TensorSpec((None, DIM))] * 2)
    def loss_and_gradients(view_1, view_2):
        with tf.GradientTape() as tape:
            tape.watch([view_1, view_2])
            loss = layer([view_1, view_2], training=True)
        return loss, tape.gradient(loss, [view_1, view_2])

    return loss_and_gradients


def hostile_views(seed):
    rng = np.random.default_rng(seed)
    rows = int(rng.choice([2, 3, 8, 17, 128]))
    view_1, view_2 = rng.normal(size=(2, rows, DIM))
    kind = seed % 8
    if kind == 1:
        view_1[:, rng.integers(DIM, size=5)] = 0.0
        view_2[:, rng.integers(DIM, size=15)] = 3.0
    elif kind == 2:
        view_2 = view_1
    elif kind == 3:
        view_1, view_2 = view_1 * 0, view_2 * rng.choice([0, 1])
    elif kind == 4:
        view_1 = view_1[:, :1].repeat(DIM, 1)
    elif kind == 5:
        view_1[:, 0] *= 1e6
        view_2[:, 3] *= 1e-6
    elif kind == 6:
        view_1 = view_1 + 1e6
    elif kind == 7:
        view_2 = view_1 @ rng.normal(size=(DIM, DIM))
    scale_1, scale_2 = 10.0 ** rng.uniform(-6, 6, size=2)
    return (view_1 * scale_1).astype("float32"), (view_2 * scale_2).astype("float32")


def test_is_finite_and_in_range_on_200_hostile_batches(compiled_loss):
    for seed in range(200):
        loss, gradients = compiled_loss(*hostile_views(seed))
        assert 0.0 <= float(loss) <= 1.0, seed
        for gradient in gradients:
            assert np.isfinite(gradient.numpy()).all(), seed


def test_equals_float64_canonical_correlations(compiled_loss):
    rng = np.random.default_rng(0)
    for rows in (40, 128, 2000):
        view_1 = rng.normal(size=(rows, DIM)).astype("float32")
        view_2 = (view_1 @ rng.normal(size=(DIM, DIM)) + rng.normal(size=(rows, DIM)) * 2).astype("float32")
        expected = 1 - correlations_in_float64(view_1, view_2).mean()
        np.testing.assert_allclose(compiled_loss(view_1, view_2)[0], expected, atol=1e-4)


def test_equals_the_closed_form_on_gaussian_data():
    """Views with correlation rho_i in coordinate i, each then mixed by an invertible matrix."""
    rng = np.random.default_rng(1)
    rho = np.array([0.95, 0.7, 0.4, 0.1])
    rows = 200_000
    common, noise = rng.normal(size=(2, rows, 4))
    view_1 = common @ rng.normal(size=(4, 4))
    view_2 = (rho * common + np.sqrt(1 - rho**2) * noise) @ rng.normal(size=(4, 4)) + 5.0
    views = [view_1.astype("float32"), view_2.astype("float32")]
    nuclear = CorrelationLoss(regularisation=0.0, running_rate=1.0)(views, training=True)
    frobenius = CorrelationLoss(regularisation=0.0, running_rate=1.0, norm="frobenius")(views, training=True)
    np.testing.assert_allclose(nuclear, 1 - rho.mean(), atol=5e-3)
    np.testing.assert_allclose(frobenius, 1 - (rho**2).mean(), atol=5e-3)


@pytest.mark.parametrize("norm", ["nuclear", "frobenius"])
def test_gradient_equals_finite_differences_in_float64(norm):
    rng = np.random.default_rng(2)
    view_1 = rng.normal(size=(30, 3))
    view_2 = view_1 @ rng.normal(size=(3, 3)) + rng.normal(size=(30, 3))
    power = 1 if norm == "nuclear" else 2

    def loss(view):
        return 1 - (correlations_in_float64(view, view_2) ** power).mean()

    expected = np.zeros_like(view_1)
    for index in np.ndindex(view_1.shape):
        step = np.zeros_like(view_1)
        step[index] = 1e-5
        expected[index] = (loss(view_1 + step) - loss(view_1 - step)) / 2e-5
    layer = CorrelationLoss(running_rate=1.0, norm=norm)
    view = tf.constant(view_1, "float32")
    with tf.GradientTape() as tape:
        tape.watch(view)
        value = layer([view, view_2.astype("float32")], training=True)
    np.testing.assert_allclose(tape.gradient(value, view), expected, atol=2e-5)


def test_known_values():
    rng = np.random.default_rng(3)
    view = rng.normal(size=(64, 4)).astype("float32")
    layer = CorrelationLoss(running_rate=1.0)
    assert float(layer([view, view])) < 0.02, "equal views correlate fully, up to the regularisation"
    assert float(layer([view, view * 0])) == 1.0
    assert float(layer([view[:1], view[:1]], training=True)) == 0.0
    assert float(layer([view[:0], view[:0]], training=True)) == 0.0
    np.testing.assert_array_equal(layer.running_covariance, np.zeros((8, 8)))


def test_running_covariance_is_the_recursion_and_moves_in_training_only():
    rng = np.random.default_rng(4)
    layer = CorrelationLoss(running_rate=0.1)
    expected = np.zeros((6, 6))
    for _ in range(3):
        views = rng.normal(size=(2, 5, 2, 2, 3)).astype("float32")
        layer(list(views), training=False)
        layer(list(views), training=True)
        joint = np.concatenate([views[0].reshape(-1, 3), views[1].reshape(-1, 3)], axis=1)
        expected = 0.9 * expected + 0.1 * np.cov(joint, rowvar=False)
        np.testing.assert_allclose(layer.running_covariance, expected, atol=1e-6)


def test_assigns_are_dropped_inside_a_stateless_scope():
    layer = CorrelationLoss()
    layer.build([(None, 4), (None, 4)])

    @tf.function
    def step(view_1, view_2):
        with tf.GradientTape() as tape, keras.StatelessScope():
            tape.watch(view_1)
            loss = layer([view_1, view_2], training=True)
        return loss, tape.gradient(loss, view_1)

    views = np.random.default_rng(5).normal(size=(2, 32, 4)).astype("float32")
    loss, gradient = step(*map(tf.constant, views))
    assert 0 < float(loss) < 1 and np.abs(gradient).max() > 0
    np.testing.assert_array_equal(layer.running_covariance, np.zeros((8, 8)))


def test_half_precision_policy_computes_in_float32():
    views = np.random.default_rng(6).normal(size=(2, 64, 4)).astype("float16")
    loss = CorrelationLoss(dtype="mixed_float16")(list(views), training=True)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    np.testing.assert_allclose(loss, CorrelationLoss()(list(views.astype("float32")), training=True), atol=1e-6)


def test_rejects_what_it_cannot_use():
    with pytest.raises(ValueError, match="equal width"):
        CorrelationLoss().build([(None, 4), (None, 5)])
    with pytest.raises(ValueError, match="norm"):
        CorrelationLoss(norm="trace")
    with pytest.raises(ValueError, match="running_rate"):
        CorrelationLoss(running_rate=0.0)
