"""The published weights, where `make set-up` has fetched them."""

import numpy as np
import pytest

from hfmnas_keras.backbones.encoder_folder import find_encoder, read_encoder
from tests.oracles.golden import encoder_golden


def published(name):
    try:
        folder = find_encoder(name)
    except ValueError as error:
        pytest.skip(f"the published weights are not at hand: {error}")
    return read_encoder(folder)


def test_minilm_equals_transformers():
    model, description = published("minilm")
    assert (description.low_tap, description.high_tap, description.max_tokens) == ("layer_2", "layer_6", 512)
    for row in encoder_golden()["published_minilm"]:
        outputs = model(np.array([row["tokens"]]))
        for name, golden in row["means"].items():
            received = np.mean(outputs[name][0], axis=0)
            np.testing.assert_allclose(received, golden["values"], rtol=1e-4, atol=2e-5, err_msg=name)


def test_efficientnet_lite0_equals_the_published_network():
    model, description = published("efficientnet_lite0")
    assert (description.low_tap, description.high_tap, description.interpolation) == ("stage_5", "stage_6", "bicubic")
    # The oracle's picture.
    rows, columns = np.mgrid[:96, :128].astype("float32")
    picture = np.stack([2 * columns, 2.5 * rows, 255 * ((rows + columns) // 16 % 2)], axis=-1)
    outputs = model(picture[None])
    for name, golden in encoder_golden()["published_lite0"].items():
        received = np.mean(outputs[name][0], axis=(0, 1))
        scale = np.abs(golden["values"]).max()
        np.testing.assert_allclose(received, golden["values"], rtol=1e-4, atol=1e-5 * scale, err_msg=name)
