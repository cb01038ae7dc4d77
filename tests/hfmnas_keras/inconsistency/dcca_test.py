import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.inconsistency.dcca import CorrelationLoss
from tests.hfmnas_keras.reference_arithmetic import check_gradients
from tests.hfmnas_keras.reference_operations import canonical_correlations, joint_covariance

DIM = 16


KINDS = ("plain", "dead columns", "equal", "all zeros", "one direction", "unequal columns", "far off", "mapped")


def hostile_views(kind, batches, rows, seed):
    """Pairs of views `(batches, rows, DIM)`, each at a scale of its own from 1e-6 to 1e6."""
    rng = np.random.default_rng(seed)
    view_1, view_2 = rng.normal(size=(2, batches, rows, DIM))
    if kind == "dead columns":
        view_1 *= rng.random((batches, 1, DIM)) < 0.7
        view_2 = np.where(rng.random((batches, 1, DIM)) < 0.1, view_2, 3.0)
    elif kind == "equal":
        view_2 = view_1
    elif kind == "all zeros":
        view_1, view_2 = view_1 * 0, view_2 * rng.integers(2, size=(batches, 1, 1))
    elif kind == "one direction":
        view_1 = view_1[..., :1] * rng.normal(size=(batches, 1, DIM))
    elif kind == "unequal columns":
        view_1[..., 0] *= 1e6
        view_2[..., 3] *= 1e-6
    elif kind == "far off":
        view_1 = view_1 + 1e6
    elif kind == "mapped":
        view_2 = view_1 @ rng.normal(size=(batches, DIM, DIM))
    scales = 10.0 ** rng.uniform(-6, 6, size=(2, batches, 1, 1))
    return (view_1 * scales[0]).astype("float32"), (view_2 * scales[1]).astype("float32")


# Batches of its own for each case.
@pytest.mark.parametrize(
    ("running_rate", "norm", "first_seed"), [(1.0, "nuclear", 0), (0.1, "nuclear", 10_000), (0.1, "frobenius", 20_000)]
)
def test_is_finite_and_in_range_on_5000_hostile_batches(running_rate, norm, first_seed):
    layer = CorrelationLoss(running_rate=running_rate, norm=norm)
    layer.build([(None, DIM), (None, DIM)])

    def loss_and_largest_gradient(views):
        with tf.GradientTape() as tape:
            tape.watch(views)
            loss = layer(list(views), training=True)
        return loss, tf.reduce_max(tf.abs(tf.stack(tape.gradient(loss, views))))

    # The loop is in the graph: ten times faster. One batch after the other, for the running covariances' sake.
    @tf.function(input_signature=[tf.TensorSpec((None, None, DIM))] * 2)
    def losses_and_largest_gradients(*views):
        return tf.map_fn(
            loss_and_largest_gradient, views, fn_output_signature=(tf.float32, tf.float32), parallel_iterations=1
        )

    seen = 0
    for rows, kind in itertools.product((1, 2, 3, 8, 17, 128), KINDS):
        views = hostile_views(kind, 105, rows, seed=first_seed + seen)
        losses, largest_gradients = losses_and_largest_gradients(*views)
        assert np.isfinite(losses).all() and np.min(losses) >= 0 and np.max(losses) <= 1, (rows, kind)
        assert np.isfinite(largest_gradients).all(), (rows, kind)
        assert np.isfinite(layer.running_covariance).all(), (rows, kind)
        if rows == 1:
            np.testing.assert_array_equal(losses, np.zeros(105))
        seen += len(losses)
    assert seen > 5000


def test_equals_float64_canonical_correlations():
    rng = np.random.default_rng(0)
    for rows in (40, 128, 2000):
        view_1 = rng.normal(size=(rows, DIM))
        view_2 = view_1 @ rng.normal(size=(DIM, DIM)) + rng.normal(size=(rows, DIM)) * 2
        expected = 1 - canonical_correlations(joint_covariance([view_1, view_2])).mean()
        for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-9)):
            layer = CorrelationLoss(running_rate=1.0, dtype=dtype)
            np.testing.assert_allclose(
                layer([view_1.astype(dtype), view_2.astype(dtype)]), expected, rtol=0, atol=tolerance
            )


@pytest.mark.parametrize(("correlation", "lowest", "highest"), [(0.0, 0.0, 0.15), (0.8, 0.7, 0.9)])
def test_running_covariance_reads_the_true_correlation_from_small_batches(correlation, lowest, highest):
    """Batches of 8 rows of 4x4 positions, d = 16: 128 observations alone would read far too high a correlation."""
    rng = np.random.default_rng(7)
    mixings = [np.linalg.qr(rng.normal(size=(DIM, DIM)))[0] * rng.uniform(0.5, 2.0, size=DIM) for _ in range(2)]
    own = [mixing.T @ mixing for mixing in mixings]
    cross = correlation * mixings[0].T @ mixings[1]
    closed_form = canonical_correlations(np.block([[own[0], cross], [cross.T, own[1]]])).mean()
    assert lowest <= closed_form <= highest

    layer = CorrelationLoss()
    for batch in range(60):
        common, noise = rng.normal(size=(2, 8, 4, 4, DIM))
        related = correlation * common + np.sqrt(1 - correlation**2) * noise
        views = [(view @ mixing).astype("float32") for view, mixing in zip((common, related), mixings, strict=True)]
        read = 1 - float(layer(views, training=True))
        if batch == 0 and correlation == 0:
            assert read > 0.2
    assert lowest <= read <= highest
    np.testing.assert_allclose(read, closed_form, atol=0.1)


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
def test_gradient_equals_finite_differences(norm):
    """In float64: the gradient of the batch's covariances, all of it, at the running ones."""
    rng = np.random.default_rng(2)
    views = rng.normal(size=(2, 30, 3))
    views[1] += views[0] @ rng.normal(size=(3, 3))
    past = joint_covariance(rng.normal(size=(2, 50, 3)))
    power = 1 if norm == "nuclear" else 2
    layer = CorrelationLoss(running_rate=0.3, norm=norm, dtype="float64", name="loss")
    layer.build([(None, 3), (None, 3)])
    layer.running_covariance.assign(past)

    average = 0.7 * past + 0.3 * joint_covariance(views)

    def reference(moved, weights):
        covariance = average + joint_covariance(moved) - joint_covariance(views)
        return 1 - (canonical_correlations(covariance) ** power).mean()

    expected = reference(views, {"running_covariance": past})
    np.testing.assert_allclose(layer(list(views), training=False), expected, atol=1e-9)
    check_gradients(layer, list(views), reference)


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
    expected = None
    for step in range(3):
        views = rng.normal(size=(2, 5, 2, 2, 3)).astype("float32")
        layer(list(views), training=False)
        layer(list(views), training=True)
        joint = np.concatenate([views[0].reshape(-1, 3), views[1].reshape(-1, 3)], axis=1)
        present = np.cov(joint, rowvar=False)
        # The first batch is the average.
        expected = 0.9 * expected + 0.1 * present if step else present
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


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_views_that_are_not_finite_give_nan_and_raise_nothing(value):
    """So a step that has overflowed can be skipped."""
    views = np.random.default_rng(8).normal(size=(2, 16, 4)).astype("float32")
    layer = CorrelationLoss()
    with_it = views.copy()
    with_it[0, 3, 1] = value
    assert np.isnan(float(layer(list(with_it))))
    assert 0 < float(layer(list(views))) < 1


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
