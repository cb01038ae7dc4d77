import numpy as np
import pytest

from hfmnas_keras.backbones.grouped_convolution import GroupedConvolution3D
from tests.hfmnas_keras.layer_test_case import run_layer_test
from tests.oracles.golden import torch_golden
from tests.oracles.seeded_tensors import seeded_input, seeded_tensor


def by_definition(inputs, kernel, groups):
    """Valid, strides 1, one group after the other, in float64."""
    inputs, kernel = inputs.astype("float64"), kernel.astype("float64")
    size, width, filters = kernel.shape[0], kernel.shape[3], kernel.shape[4] // groups
    sides = [side - size + 1 for side in inputs.shape[1:4]]
    output = np.zeros((len(inputs), *sides, kernel.shape[4]))
    for group in range(groups):
        own = inputs[..., group * width : (group + 1) * width]
        for t, y, x in np.ndindex(size, size, size):
            part = own[:, t : t + sides[0], y : y + sides[1], x : x + sides[2]]
            columns = slice(group * filters, (group + 1) * filters)
            output[..., columns] += part @ kernel[t, y, x, :, columns]
    return output


def test_is_a_sound_layer():
    run_layer_test(
        lambda **kwargs: GroupedConvolution3D(6, 3, 3, (1, 2, 2), "valid", **kwargs),
        np.random.default_rng(0).normal(size=(2, 4, 5, 5, 6)).astype("float32"),
        expected_output_shape=(2, 2, 2, 2, 6),
        expected_num_weights=1,
    )


@pytest.mark.parametrize(("channels", "filters", "groups"), [(6, 6, 3), (80, 40, 20), (64, 64, 1), (12, 12, 12)])
def test_equals_the_definition(channels, filters, groups):
    inputs = np.random.default_rng(1).normal(size=(2, 3, 4, 4, channels)).astype("float32")
    layer = GroupedConvolution3D(filters, 3, groups, padding="valid")
    output = np.asarray(layer(inputs))
    (kernel,) = layer.get_weights()
    np.testing.assert_allclose(output, by_definition(inputs, kernel, groups), atol=1e-4)


@pytest.mark.parametrize("case", torch_golden()["grouped_convolutions"], ids=lambda case: f"{case['groups']} groups")
def test_equals_pytorch(case):
    layer = GroupedConvolution3D(case["filters"], 3, case["groups"], padding="valid", strides=case["strides"])
    inputs = seeded_input("grouped", (2, 3, 5, 6, case["channels"]), 1.0)
    layer.build(inputs.shape)
    published = seeded_tensor("grouped.weight", (case["filters"], case["channels"] // case["groups"], 3, 3, 3))
    layer.kernel.assign(np.moveaxis(published, (0, 1), (-1, -2)))
    expected = np.reshape(case["output"]["values"], case["output"]["shape"])
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-5)


def test_rejects_what_does_not_divide():
    with pytest.raises(ValueError, match="multiple of `groups`"):
        GroupedConvolution3D(5, 3, 2)
    with pytest.raises(ValueError, match="multiple of `groups=2`"):
        GroupedConvolution3D(4, 3, 2).build((None, 4, 4, 4, 3))
