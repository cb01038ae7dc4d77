import keras
import numpy as np

from hfmnas_keras.node_operations.mamba_fusion import MambaFusion
from hfmnas_keras.optimization.weight_decay import add_weight_decay, is_decayed


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


def test_decay_is_added_to_the_gradient():
    kernel = keras.Variable(np.array([[2.0, -4.0]]), name="kernel")
    bias = keras.Variable(np.array([3.0]), name="bias")
    gradients = [keras.ops.ones((1, 2)), keras.ops.ones((1,)), None]
    result = add_weight_decay(gradients, [kernel, bias, kernel], 0.5)
    np.testing.assert_allclose(result[0], [[2.0, -1.0]])
    np.testing.assert_allclose(result[1], [1.0])
    assert result[2] is None
