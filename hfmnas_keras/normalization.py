"""The two normalisations of the method, with the same constants wherever they are used."""

from __future__ import annotations

from typing import Any

import keras

# Keras's 0.99 needs hundreds of steps to forget its start: too many for a search of a few hundred steps, whose
# dev scores are read at inference.
BATCH_MOMENTUM = 0.9
EPSILON = 1e-3


def batch_normalization(affine: bool, dtype: Any, name: str) -> keras.layers.BatchNormalization:
    """A batch normalisation over the last axis.

    Args:
        affine: bool. Whether it has scale and offset: `False` while searching, so that the outputs of the operations
            stay comparable (method section 4).
        dtype: policy of the layer that owns it.
        name: str.
    """
    return keras.layers.BatchNormalization(
        axis=-1, momentum=BATCH_MOMENTUM, epsilon=EPSILON, center=affine, scale=affine, dtype=dtype, name=name
    )


def layer_normalization(affine: bool, dtype: Any, name: str) -> keras.layers.LayerNormalization:
    """A layer normalisation over the channels; arguments as in `batch_normalization`."""
    return keras.layers.LayerNormalization(
        axis=-1, epsilon=EPSILON, center=affine, scale=affine, dtype=dtype, name=name
    )
