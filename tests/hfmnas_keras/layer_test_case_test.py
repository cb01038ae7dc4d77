"""The shared layer test accepts a good layer and rejects the faults it is there to find."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.hfmnas_keras.layer_test_case import run_layer_test

INPUTS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


@keras.saving.register_keras_serializable(package="hfmnas_keras_tests")
class GoodLayer(keras.layers.Layer):
    def __init__(self, units=5, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.dense = keras.layers.Dense(self.units, dtype=self.dtype_policy, name="dense")
        self.dense.build(input_shape)

    def call(self, inputs):
        return self.dense(inputs)

    def get_config(self):
        return {**super().get_config(), "units": self.units}

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)


@keras.saving.register_keras_serializable(package="hfmnas_keras_tests")
class ForgetfulConfig(GoodLayer):
    def get_config(self):
        return keras.layers.Layer.get_config(self)


@keras.saving.register_keras_serializable(package="hfmnas_keras_tests")
class UnbuiltChild(GoodLayer):
    def build(self, input_shape):
        self.dense = keras.layers.Dense(self.units, dtype=self.dtype_policy, name="dense")


@keras.saving.register_keras_serializable(package="hfmnas_keras_tests")
class BatchDependent(GoodLayer):
    def call(self, inputs):
        return self.dense(inputs - ops.mean(inputs, axis=0))


@keras.saving.register_keras_serializable(package="hfmnas_keras_tests")
class DeadWeight(GoodLayer):
    def call(self, inputs):
        return ops.stop_gradient(self.dense(inputs))


@keras.saving.register_keras_serializable(package="hfmnas_keras_tests")
class OverflowsInHalf(GoodLayer):
    def call(self, inputs):
        return self.dense(ops.log(ops.exp(inputs * 0 + 12.0)))


class Unregistered(GoodLayer):
    pass


def test_accepts_a_good_layer():
    layer = run_layer_test(GoodLayer, INPUTS, (2, 3, 5), expected_num_weights=2)
    assert layer.built


@pytest.mark.parametrize(
    ("layer_class", "message"),
    [
        (ForgetfulConfig, "copy from the config differ"),
        (UnbuiltChild, "leaves unbuilt"),
        (BatchDependent, "first row of the batch"),
        (DeadWeight, "No gradient reaches"),
        (OverflowsInHalf, "infinity in mixed precision"),
        (Unregistered, "Could not locate class"),
    ],
)
def test_rejects_a_faulty_layer(layer_class, message):
    with pytest.raises((AssertionError, TypeError), match=message):
        run_layer_test(lambda: layer_class(units=6), INPUTS, (2, 3, 6))


def test_rejects_a_wrong_shape_and_a_wrong_number_of_weights():
    with pytest.raises(AssertionError, match="Shapes of the eager call"):
        run_layer_test(GoodLayer, INPUTS, (2, 3, 4))
    with pytest.raises(AssertionError, match="dense/kernel"):
        run_layer_test(GoodLayer, INPUTS, (2, 3, 5), expected_num_weights=3)
