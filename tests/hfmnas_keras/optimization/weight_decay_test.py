import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.node_operations.mamba_fusion import MambaFusion
from hfmnas_keras.optimization.weight_decay import WeightDecay, decays_all, is_decayed


def test_only_kernels_decay():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Embedding(5, 4, name="embedding"),
            keras.layers.Dense(4, name="dense"),
            keras.layers.LayerNormalization(name="norm"),
        ]
    )
    decayed = {"/".join(v.path.split("/")[-2:]) for v in model.trainable_variables if is_decayed(v)}
    assert decayed == {"dense/kernel"}
    assert not is_decayed(keras.Variable(np.zeros((4, 4)), name="linear_bias"))
    assert not is_decayed(keras.Variable(np.zeros(4), name="importance"))


def test_state_space_parameters_do_not_decay():
    fusion = MambaFusion(channels=4, name="fusion")
    fusion.build([(None, 2, 2, 4)] * 2)
    spared = {v.path.split("/")[-1] for v in fusion.trainable_variables if not is_decayed(v)}
    assert {"decay_log", "skip", "step_bias", "depthwise_bias"} <= spared
    assert all("kernel" in v.path.split("/")[-1] for v in fusion.trainable_variables if is_decayed(v))


def kernel_and_bias():
    return [
        keras.Variable(np.array(value, "float32"), name=name) for name, value in (("kernel", [[2, -4]]), ("bias", [3]))
    ]


def test_coupled_decay_is_added_to_the_gradient_as_a_share_of_the_labels():
    kernel, bias = kernel_and_bias()
    gradients = [keras.ops.ones((1, 2)), keras.ops.ones((1,)), None]
    decay = WeightDecay(0.5, "coupled")
    for labels, share in (np.zeros(7), 1), (np.zeros((7, 1)), 1), (np.zeros((7, 5)), 5):
        result = decay.added_to(gradients, [kernel, bias, kernel], labels)
        np.testing.assert_allclose(result[0], np.array([[1 + 1.0 / share, 1 - 2.0 / share]]), rtol=1e-6)
        np.testing.assert_allclose(result[1], [1.0])
        assert result[2] is None


def test_decoupled_decay_is_in_the_gradient_of_plain_descent_alone():
    kernel, bias = kernel_and_bias()
    gradients = [keras.ops.ones((1, 2)), keras.ops.ones((1,))]
    for descent, expected in (False, [[1, 1]]), (True, [[2, -1]]):
        result = WeightDecay(0.5).added_to(gradients, [kernel, bias], np.zeros((7, 5)), descent)
        np.testing.assert_array_equal(result[0], expected)
        np.testing.assert_array_equal(result[1], [1])


@pytest.mark.parametrize("scale", [1.0, 1.0 / 23.0])
def test_decoupled_decay_equals_keras_adamw_whatever_the_scale_of_the_loss(scale):
    ours, theirs = kernel_and_bias(), kernel_and_bias()
    adam = WeightDecay(0.3).adam(0.1, ours, epsilon=1e-12)
    adamw = keras.optimizers.AdamW(0.1, weight_decay=0.3, epsilon=1e-12)
    adamw.exclude_from_weight_decay(var_list=[theirs[1]])
    adamw.build(list(theirs))
    generator = np.random.default_rng(0)
    for _ in range(4):
        gradients = [scale * generator.normal(size=(1, 2)), scale * generator.normal(size=1)]
        adam.apply([tf.constant(g, tf.float32) for g in gradients], list(ours))
        adamw.apply([tf.constant(g, tf.float32) for g in gradients], list(theirs))
    for variable, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(variable, expected, rtol=1e-5)


def test_coupled_decay_leaves_the_optimizer_plain_and_all_can_decay():
    assert WeightDecay(0.3, "coupled").adam(0.1, kernel_and_bias()).decay_rate == 0
    bias = kernel_and_bias()[1]
    WeightDecay(0.5, decays=decays_all).adam(0.1, [bias]).apply([tf.zeros(1)], [bias])
    np.testing.assert_allclose(bias, [3.0 * (1 - 0.1 * 0.5)], rtol=1e-6)
