"""The two normalisations of the method, with the same constants wherever they are used."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products
from hfmnas_keras.layers.replicas import mean_over_replicas, present_replica

# Keras's 0.99 needs hundreds of steps to forget its start: too many for a search of a few hundred steps, whose
# dev scores are read at inference.
BATCH_MOMENTUM = 0.9
EPSILON = 1e-3
# Products of two mixed edges, which are small themselves, have a variance of a few thousandths: with 1e-3 they would
# leave their normalisation 17 % smaller than sums do.
LAYER_EPSILON = 1e-5

if not hasattr(keras.layers.BatchNormalization, "_moments"):
    raise RuntimeError(
        f"Keras {keras.__version__} has no `BatchNormalization._moments`, by which devices share a batch's statistics: "
        "each would take those of its own part. Use Keras 3.12."
    )


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class BatchNormalization(keras.layers.BatchNormalization):
    """Keras's batch normalisation, its statistics those of the whole batch where devices share it.

    Keras's own `synchronized=True` takes the variance as a difference of means, which rounding can make negative.
    Arguments as of `keras.layers.BatchNormalization`.

    Raises:
        ValueError: when devices share a masked batch.
    """

    multiply_accumulates = no_products

    def _moments(self, inputs: Any, mask: Any) -> Any:
        if present_replica() is None:
            return super()._moments(inputs, mask)
        if mask is not None:
            raise ValueError(
                f"`{self.name}` cannot share masked statistics between devices. Received: a mask. Set `devices: 1`."
            )
        mean = mean_over_replicas(ops.mean(inputs, axis=self._reduction_axes, keepdims=True))
        variance = mean_over_replicas(ops.mean(ops.square(inputs - mean), axis=self._reduction_axes))
        return ops.reshape(mean, variance.shape), variance


def batch_normalization(affine: bool, dtype: Any, name: str) -> BatchNormalization:
    """A batch normalisation over the last axis.

    Args:
        affine: bool. Whether it has scale and offset: `False` while searching, so that the outputs of the operations
            stay comparable (method section 4).
        dtype: policy of the layer that owns it.
        name: str.
    """
    return BatchNormalization(
        axis=-1, momentum=BATCH_MOMENTUM, epsilon=EPSILON, center=affine, scale=affine, dtype=dtype, name=name
    )


def layer_normalization(affine: bool, dtype: Any, name: str) -> keras.layers.LayerNormalization:
    """A layer normalisation over the channels; arguments as in `batch_normalization`."""
    return keras.layers.LayerNormalization(
        axis=-1, epsilon=LAYER_EPSILON, center=affine, scale=affine, dtype=dtype, name=name
    )
