"""Settings that a search passes on: the length of its first cycle, and whether operations are deterministic."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.search.architecture_search import search_architecture
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.final_training import train_fusion_network
from tests.hfmnas_keras.search.bilevel_step_test import make_step


@pytest.mark.parametrize(
    ("epochs", "halfway", "restart"),
    # Six steps an epoch: a cycle of one epoch is at its middle after three steps, one of two after six.
    [(1, 3, 6), (2, 6, 12)],
)
def test_the_first_cycle_is_as_long_as_asked(epochs, halfway, restart):
    step = make_step(first_cycle_epochs=epochs, learning_rate=1e-3, min_learning_rate=1e-5)
    rates = {}
    for at in (0, halfway, restart):
        step.weight_optimizer.iterations.assign(at)
        rates[at] = float(keras.ops.convert_to_numpy(step.weight_optimizer.learning_rate))
    assert rates == pytest.approx({0: 1e-3, halfway: (1e-3 + 1e-5) / 2, restart: 1e-3})


class StopHere(Exception):
    pass


@pytest.mark.parametrize("deterministic", [True, False])
def test_operations_are_deterministic_where_asked(deterministic, tmp_path, monkeypatch):
    asked = []

    def stop(seed):
        raise StopHere

    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    # What comes right after.
    monkeypatch.setattr(keras.utils, "set_random_seed", stop)
    names = ("text_low", "text_high", "image_low", "image_high")
    rows = FeatureSet(np.array(["a", "b"]), {name: np.zeros((2, 3), "float32") for name in names}, np.array([0, 1]))
    for work in (
        lambda: search_architecture(
            rows, rows, 2, FusionSettings(), SearchSettings(deterministic=deterministic), tmp_path
        ),
        lambda: train_fusion_network(
            None,
            rows,
            rows,
            2,
            FusionSettings(),
            TrainingSettings(deterministic=deterministic, unfreeze_backbones=False),
            tmp_path,
            model="concatenation",
        ),
    ):
        asked.clear()
        with pytest.raises(StopHere):
            work()
        assert bool(asked) == deterministic
