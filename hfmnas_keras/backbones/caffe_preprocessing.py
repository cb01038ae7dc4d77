"""The input convention of the published VGG weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products

# Mean of the ImageNet training pictures, blue, green, red.
CAFFE_MEAN = (103.939, 116.779, 123.68)


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class CaffePreprocessing(keras.layers.Layer):
    """Turns RGB in 0 to 255 into centred BGR, as VGG was trained (docs/method.md, section 3).

    Call arguments:
        inputs: tensor `(batch, height, width, 3)`, RGB, 0 to 255.

    Returns:
        Tensor of the same shape.
    """

    multiply_accumulates = no_products

    def call(self, inputs: Any) -> Any:
        return ops.flip(inputs, axis=-1) - ops.cast(ops.array(CAFFE_MEAN), inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape
