import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.inconsistency.dcca import CorrelationLoss
from hfmnas_keras.inconsistency.inconsistency_mitigation import InconsistencyMitigation
from tests.hfmnas_keras.layer_test_case import run_layer_test
from tests.hfmnas_keras.reference_arithmetic import check_gradients, randomize_weights, weight_values
from tests.hfmnas_keras.reference_operations import joint_covariance, mitigation_reference


def grids(batch=3, widths=(6, 10), seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(batch, 2, 2, width)).astype("float32") for width in widths]


@pytest.mark.parametrize("attention", ["views", "hidden", None])
@pytest.mark.parametrize("correlation", [True, False])
def test_is_a_sound_layer(attention, correlation):
    options = {} if attention is None else {"attention_inputs": attention}
    run_layer_test(
        lambda **kwargs: InconsistencyMitigation(
            8,
            correlation_dim=4,
            attention=attention is not None,
            correlation=correlation,
            num_heads=2,
            **options,
            **kwargs,
        ),
        grids(),
        expected_output_shape=(3, 2, 2, 16 if attention is None else 8),
        # Views that nothing else reads have their gradient from the added loss alone.
        expect_gradients=not correlation or attention == "views",
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


def make_double_precision_layer(inputs, **changes):
    layer = InconsistencyMitigation(
        **{"channels": 8, "correlation_dim": 3, "num_heads": 2, "dropout": 0.0, **changes}, dtype="float64", name="imm"
    )
    layer.build([grid.shape for grid in inputs])
    randomize_weights(layer)
    return layer


OPTIONS = [("query", "nuclear", "views"), ("key", "frobenius", "views"), ("query", "nuclear", "hidden")]


@pytest.mark.parametrize(("values", "norm", "read"), OPTIONS)
def test_output_and_loss_over_three_steps(values, norm, read):
    """Eq. 26-28 as a whole, in float64; the running covariances carry over from step to step."""
    options = {"attention_values": values, "correlation_norm": norm, "attention_inputs": read}
    layer = make_double_precision_layer(grids(batch=4), correlation_weight=0.25, **options)
    for step in range(3):
        inputs = [grid.astype("float64") for grid in grids(batch=4, seed=step)]
        weights = weight_values(layer)
        output, loss = mitigation_reference(inputs, weights, 2, 0.25, values=values, norm=norm, read=read)
        np.testing.assert_allclose(layer(inputs, training=False), output, atol=1e-10)
        np.testing.assert_allclose(layer(inputs, training=True), output, atol=1e-10)
        (added,) = layer.losses
        np.testing.assert_allclose(added, loss, atol=1e-9)


@pytest.mark.parametrize(("values", "norm", "read"), OPTIONS)
def test_gradients(values, norm, read):
    """Of the output and of the added loss together, in float64."""
    inputs = [grid.astype("float64") for grid in grids(batch=4)]
    options = {"attention_values": values, "correlation_norm": norm, "attention_inputs": read}
    layer = make_double_precision_layer(inputs, correlation_weight=10.0, **options)
    layer.correlation_loss.running_covariance.assign(joint_covariance(np.random.default_rng(1).normal(size=(2, 20, 3))))
    around = inputs, weight_values(layer)

    def reference(moved, weights):
        return mitigation_reference(moved, weights, 2, 10.0, values=values, norm=norm, around=around, read=read)

    check_gradients(layer, inputs, reference)


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


# Grids of a network of its own, and sequences, which are grids of one axis.
@pytest.mark.parametrize("positions", [(5, 3), (7,)])
def test_any_two_features_can_pass_through(positions, tmp_path):
    """In a plain functional model with branches of two widths: trained, saved, loaded, trained on."""
    keras.utils.set_random_seed(0)
    named = {name: keras.Input((*positions, width), name=name) for name, width in (("left", 5), ("right", 9))}
    branches = [keras.layers.Dense(units)(named[name]) for name, units in (("left", 6), ("right", 10))]
    fused = InconsistencyMitigation(8, correlation_dim=3, num_heads=2)(branches)
    model = keras.Model(named, keras.layers.Dense(2)(keras.layers.Flatten()(fused)))
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=(4, *tensor.shape[1:])).astype("float32") for name, tensor in named.items()}
    labels = np.array([0, 1, 0, 1])
    task_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="sgd", loss=task_loss, jit_compile=False, run_eagerly=True)
    before = model.get_weights()
    assert np.isfinite(model.train_on_batch(rows, labels))
    for variable, value in zip(model.weights, before, strict=True):
        # The views are centred, so that a bias means nothing there.
        if not variable.path.endswith("view/bias"):
            assert not np.array_equal(variable.numpy(), value), variable.path
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for variable, value in zip(loaded.weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    np.testing.assert_allclose(loaded(rows), model(rows), atol=1e-6)
    assert np.isfinite(loaded.train_on_batch(rows, labels))


def test_in_mixed_precision_the_correlation_is_computed_in_float32():
    inputs = grids(batch=8)
    losses = []
    for dtype in ("float32", "mixed_float16"):
        layer = InconsistencyMitigation(8, correlation_dim=4, num_heads=2, dropout=0.0, dtype=dtype, name="imm")
        layer.build([grid.shape for grid in inputs])
        randomize_weights(layer)
        layer(inputs, training=True)
        losses += layer.losses
        assert layer.correlation_loss.running_covariance.dtype == "float32"
    assert keras.backend.standardize_dtype(losses[1].dtype) == "float32"
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-3)
    # Views whose covariances no half-precision number could hold.
    layer([1000.0 * grid for grid in inputs], training=True)
    assert np.isfinite(layer.losses[-1])


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


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"attention_values": "both"}, r"`attention_values` must be one of \('query', 'key'\). Received: 'both'"),
        ({"attention_inputs": "both"}, r"`attention_inputs` must be one of \('views', 'hidden'\). Received: 'both'"),
        ({"correlation_norm": "trace"}, r"`correlation_norm` must be one of \('nuclear', 'frobenius'\).*'trace'"),
    ],
)
def test_unknown_options_are_refused(option, told):
    with pytest.raises(ValueError, match=told):
        InconsistencyMitigation(8, **option)


def test_rejects_grids_that_do_not_lie_on_each_other():
    with pytest.raises(ValueError, match="two grids.*AdaptiveMaxPool"):
        InconsistencyMitigation(8).build([(None, 2, 2, 3), (None, 4, 4, 3)])
