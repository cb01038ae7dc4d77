"""What each setting of a training step does to one step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.settings.training import TrainingSettings
from hfmnas_keras.training.training_step import TrainingStep


@pytest.mark.parametrize("head_weight", [0.0, 0.5])
def test_heads_learn_by_their_weight(head_weight):
    """Two linear classifiers side by side: the weight of the head's loss is all that its kernel can learn from."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,), name="x")
    outputs = {name: keras.layers.Dense(2, use_bias=False, name=name)(inputs) for name in ("logits", "text_head")}
    model = keras.Model({"x": inputs}, outputs)
    settings = TrainingSettings(batch_size=4, head_weight=head_weight, weight_decay=0.0, devices=1)
    kernels = {name: model.get_layer(name).kernel for name in outputs}
    before = {name: np.array(keras.ops.convert_to_numpy(kernel)) for name, kernel in kernels.items()}
    step = TrainingStep(model, [], settings, total_steps=10)
    step.run({"x": tf.constant(np.random.default_rng(0).normal(size=(4, 3)), tf.float32)}, tf.constant([0, 1, 0, 1]))
    moved = {
        name: np.abs(np.array(keras.ops.convert_to_numpy(kernel)) - before[name]).max()
        for name, kernel in kernels.items()
    }
    assert moved["logits"] > 0
    assert (moved["text_head"] > 0) == (head_weight > 0)
