"""What every baseline does with one feature of one modality."""

from __future__ import annotations

from typing import Any

import keras

from hfmnas_keras.layers.normalization import batch_normalization


def hidden_stream(feature: Any, units: int, dropout: float, name: str) -> Any:
    """A feature, vector or map, as a vector of hidden units: flatten, BN, dropout, Dense, ReLU.

    Args:
        feature: tensor `(batch, width)` or `(batch, height, width, channels)`.
        units: int.
        dropout: float.
        name: str. Prefix of the layers' names.

    Returns:
        Tensor of shape `(batch, units)`.
    """
    hidden = normalised(feature, dropout, name)
    return keras.layers.Dense(units, activation="relu", name=f"{name}_hidden")(hidden)


def normalised(feature: Any, dropout: float, name: str) -> Any:
    """A feature as a normalised vector: flatten, BN, dropout.

    Args:
        feature, dropout, name: as in `hidden_stream`.

    Returns:
        Tensor of shape `(batch, all of the feature)`.
    """
    hidden = keras.layers.Flatten(name=f"{name}_flatten")(feature)
    hidden = batch_normalization(affine=True, dtype=None, name=f"{name}_norm")(hidden)
    return keras.layers.Dropout(dropout, name=f"{name}_dropout")(hidden)


def logits_of(hidden: Any, num_outputs: int, dropout: float, name: str) -> Any:
    """Dropout and a Dense layer in single precision, `(batch, num_outputs)`."""
    hidden = keras.layers.Dropout(dropout, name=f"{name}_dropout")(hidden)
    return keras.layers.Dense(num_outputs, dtype="float32", name=name)(hidden)
