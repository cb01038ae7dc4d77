import importlib.util

import keras
import pytest

from hfmnas_keras.layers import normalization


def test_a_keras_whose_statistics_devices_could_not_share_is_refused(monkeypatch):
    """Nobody would see it else: on one device nothing changes."""
    assert normalization.BatchNormalization._moments is not keras.layers.BatchNormalization._moments
    monkeypatch.delattr(keras.layers.BatchNormalization, "_moments")
    spec = importlib.util.find_spec("hfmnas_keras.layers.normalization")
    with pytest.raises(RuntimeError, match="has no `BatchNormalization._moments`"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
