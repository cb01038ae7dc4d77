import numpy as np
import pytest

from hfmnas_keras.backbones.bottleneck import Bottleneck
from tests.hfmnas_keras.layer_test_case import run_layer_test


@pytest.mark.parametrize(("strides", "groups", "weights"), [((1, 1, 1), 1, 15), ((1, 2, 2), 1, 20), ((2, 2, 2), 2, 20)])
def test_is_a_sound_layer(strides, groups, weights):
    inputs = np.random.default_rng(0).normal(size=(2, 4, 5, 5, 8)).astype("float32")
    sides = [-(-side // stride) for side, stride in zip((4, 5, 5), strides, strict=True)]
    run_layer_test(
        lambda **kwargs: Bottleneck(4, 8, strides, groups, **kwargs),
        inputs,
        expected_output_shape=(2, *sides, 8),
        expected_num_weights=weights,
    )


def test_frozen_it_keeps_its_moving_averages():
    layer = Bottleneck(4, 8, trainable=False)
    inputs = np.random.default_rng(0).normal(size=(2, 4, 4, 4, 8)).astype("float32")
    layer(inputs)
    before = layer.get_weights()
    layer(inputs, training=True)
    for one, other in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
