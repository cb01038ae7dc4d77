import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.inconsistency.dcca import CorrelationLoss
from hfmnas_keras.inconsistency.inconsistency_mitigation import InconsistencyMitigation
from tests.hfmnas_keras.layer_test_case import run_layer_test


def grids(batch=3, widths=(6, 10), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(batch, 2, 2, width)).astype("float32") for width in widths]


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("correlation", [True, False])
def test_is_a_sound_layer(attention, correlation):
    run_layer_test(
        lambda **kwargs: InconsistencyMitigation(
            8, correlation_dim=4, attention=attention, correlation=correlation, num_heads=2, **kwargs
        ),
        grids(),
        expected_output_shape=(3, 2, 2, 8 if attention else 16),
        # The views have their gradient from the added loss alone.
        expect_gradients=not correlation,
    )


def test_without_attention_is_two_dense_layers_side_by_side():
    inputs = grids()
    layer = InconsistencyMitigation(8, attention=False, correlation=False)
    output = layer(inputs)
    expected = [
        np.maximum(branch @ np.asarray(dense.kernel) + np.asarray(dense.bias), 0)
        for branch, dense in zip(inputs, layer.hidden_layers, strict=True)
    ]
    np.testing.assert_allclose(output, np.concatenate(expected, axis=-1), atol=1e-5)


def test_adds_the_weighted_loss_in_training_only():
    inputs = grids(batch=8)
    layer = InconsistencyMitigation(8, correlation_dim=4, correlation_weight=0.25, num_heads=2, dropout=0.0)
    layer(inputs)
    assert layer.losses == []
    layer(inputs, training=True)
    (added,) = layer.losses
    views = [
        np.maximum(branch @ np.asarray(h.kernel) + np.asarray(h.bias), 0) @ np.asarray(v.kernel) + np.asarray(v.bias)
        for branch, h, v in zip(inputs, layer.hidden_layers, layer.view_layers, strict=True)
    ]
    np.testing.assert_allclose(added, 0.25 * np.asarray(CorrelationLoss()(views)), atol=1e-5)


def test_training_raises_the_correlation():
    rng = np.random.default_rng(1)
    common = rng.normal(size=(16, 2, 2, 3))
    inputs = [
        np.concatenate([common @ rng.normal(size=(3, 3)), rng.normal(size=(16, 2, 2, 3))], axis=-1).astype("float32")
        for _ in range(2)
    ]
    layer = InconsistencyMitigation(8, correlation_dim=2, correlation_weight=1.0, num_heads=2)
    layer.build([grid.shape for grid in inputs])
    optimizer = keras.optimizers.Adam(0.02)
    variables = [w for w in layer.trainable_weights if "attention" not in w.path]
    optimizer.build(variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            layer(inputs, training=True)
            loss = sum(layer.losses)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    losses = []
    for _ in range(60):
        losses.append(float(step()))
        layer._clear_losses()
    assert losses[-1] < losses[0] - 0.1


def test_inference_on_one_sample_equals_inference_in_a_batch():
    inputs = grids(batch=4)
    layer = InconsistencyMitigation(8, num_heads=2)
    layer(inputs, training=True)
    whole = np.asarray(layer(inputs))
    single = np.asarray(layer([grid[:1] for grid in inputs]))
    np.testing.assert_allclose(whole[:1], single, atol=1e-6)


def test_a_stateless_scope_keeps_the_covariances():
    inputs = grids(batch=8)
    layer = InconsistencyMitigation(8, num_heads=2)
    layer.build([grid.shape for grid in inputs])

    @tf.function
    def architecture_step():
        with keras.StatelessScope():
            return layer(inputs, training=True)

    assert np.isfinite(architecture_step()).all()
    np.testing.assert_array_equal(layer.correlation_loss.running_covariance, np.zeros((32, 32)))


def test_rejects_grids_that_do_not_lie_on_each_other():
    with pytest.raises(ValueError, match="two grids"):
        InconsistencyMitigation(8).build([(None, 2, 2, 3), (None, 4, 4, 3)])
