"""Average pooling to a grid of a given size, from a map of any size."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.backbones.adaptive_max_pool import AdaptiveMaxPool


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class AdaptiveAveragePool(AdaptiveMaxPool):
    """Average pooling whose output size is given, over the bins of `AdaptiveMaxPool`, with its arguments.

    For maps whose last layer is linear, where the largest value says no more than the smallest.
    """

    def reduce(self, cells: Any, axis: Any) -> Any:
        return ops.mean(cells, axis=axis)
