import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.optimization import loss_scale
from hfmnas_keras.optimization.loss_scale import LossScale, changes_in, resolved_precision


def scale_of(scale):
    return float(scale.variables[0].numpy())


def run_step(scale, value, held_back=()):
    """What was called, with what."""
    calls = []
    scale.apply_if_finite(
        [tf.constant(1.0), tf.constant([1.0, value])],
        held_back,
        lambda: calls.append("apply"),
        lambda lost: calls.append(float(lost)),
    )
    return calls


def test_infinite_and_nan_steps_are_skipped_and_halve_the_scale():
    scale = LossScale("mixed_float16")
    held_back = [(keras.Variable(1.0, dtype="float32"), tf.constant(5.0))]
    first = scale_of(scale)
    assert run_step(scale, np.inf, held_back) == [0.0]
    assert run_step(scale, np.nan, held_back) == [0.0]
    assert scale_of(scale) == first / 4
    assert float(held_back[0][0].numpy()) == 1.0
    assert run_step(scale, 1.0, held_back) == ["apply"]
    assert float(held_back[0][0].numpy()) == 5.0
    # A moving average, too, may be what overflows.
    assert run_step(scale, 1.0, [(held_back[0][0], tf.constant(np.inf))]) == [0.0]


def test_a_step_that_is_not_finite_at_scale_one_is_a_divergence():
    scale = LossScale("mixed_float16")
    scale.variables[0].assign(2.0)
    assert run_step(scale, np.nan) == [0.0]
    (lost,) = run_step(scale, np.nan)
    assert np.isnan(lost)
    assert scale_of(scale) == 1.0


def test_the_scale_grows_after_many_good_steps(monkeypatch):
    monkeypatch.setattr(loss_scale, "_GROWTH_STEPS", 3)
    scale = LossScale("mixed_float16")
    first = scale_of(scale)
    seen = []
    for value in (1.0, 1.0, np.inf, 1.0, 1.0, 1.0):
        run_step(scale, value)
        seen.append(scale_of(scale) / first)
    assert seen == [1.0, 1.0, 0.5, 0.5, 0.5, 1.0]


def test_tiny_gradients_survive():
    """Of y = x w in float16 with a slope of 1e-9, which float16 has no number for."""
    scale = LossScale("mixed_float16")
    weight = tf.Variable(1.0)
    for scaled, expected in ((scale.scaled, 1e-9), (lambda loss: loss, 0.0)):
        with tf.GradientTape() as tape:
            output = tf.cast(tf.cast(weight, tf.float16) * tf.constant(1.0, tf.float16), tf.float32)
            loss = scaled(1e-9 * output)
        gradient = tape.gradient(loss, weight)
        if expected:
            (gradient,) = scale.unscaled([gradient])
        np.testing.assert_allclose(gradient, expected, rtol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_other_policies_are_left_alone(precision):
    scale = LossScale(precision)
    loss = tf.constant(3.0)
    assert scale.scaled(loss) is loss
    assert scale.unscaled([loss]) == [loss]
    assert scale.variables == [] and scale.scope() is None
    assert changes_in(None, [keras.Variable(1.0)]) == []
    assert run_step(scale, np.nan) == ["apply"]


def test_auto_takes_what_the_device_is_fast_in(monkeypatch):
    assert resolved_precision("mixed_float16") == "mixed_float16"
    devices: list = []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: devices)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: device)
    assert resolved_precision("auto") == "float32"
    for generation, expected in ((9, "mixed_bfloat16"), (7, "mixed_float16"), (6, "float32")):
        devices.insert(0, {"compute_capability": (generation, 0)})
        # The slowest device decides.
        assert resolved_precision("auto") == expected
    devices[:] = [{}]
    assert resolved_precision("auto") == "float32"
