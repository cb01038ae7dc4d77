"""Brings the taps of a fold's network into the units of the reference network.

Networks fitted on different rows say the same in different units: unit 7 of one is not unit 7 of the other. The search
reads train rows through the fold networks and dev rows through the reference, so their units have to agree.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np


def align_features(features: np.ndarray, reference: np.ndarray, ridge: float = 1e-2) -> tuple[np.ndarray, np.ndarray]:
    """The affine map of one network's tap that comes closest to another's, by ridge regression in float64.

    The ridge pulls to the identity rather than to zero: both networks start from the same weights, so where the rows
    say little the best guess is to leave the feature as it is.

    Args:
        features, reference: arrays `(rows, ..., channels)` of equal shape: the two networks' taps for rows that
            neither was fitted on. All axes but the last are observations.
        ridge: float. Strength in mean squared centred features. Defaults to `1e-2`.

    Returns:
        Pair of matrix `(channels, channels)` and offset `(channels,)`: `features @ matrix + offset` is aligned.

    Raises:
        ValueError: when the shapes differ.
    """
    if features.shape != reference.shape:
        raise ValueError(f"Both taps need one shape. Received: {features.shape} and {reference.shape}.")
    channels = features.shape[-1]
    source = np.asarray(features, "float64").reshape(-1, channels)
    target = np.asarray(reference, "float64").reshape(-1, channels)
    if not len(source):
        return np.eye(channels), np.zeros(channels)
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    gram = centred.T @ centred
    # The tiny constant keeps dead taps solvable.
    gram_with_ridge = gram + (ridge * np.trace(gram) / channels + 1e-8) * np.eye(channels)
    matrix = np.eye(channels) + np.linalg.solve(gram_with_ridge, centred.T @ (target - target_mean - centred))
    return matrix, target_mean - source_mean @ matrix


def explained_variance(features: np.ndarray, reference: np.ndarray) -> float:
    """Share of the reference's variance that the features, taken as they are, account for (at most 1)."""
    source, target = np.asarray(features, "float64"), np.asarray(reference, "float64")
    variance = np.square(target - target.reshape(-1, target.shape[-1]).mean(axis=0)).sum()
    return float(1 - np.square(source - target).sum() / max(variance, 1e-12))


def aligned_backbone(backbone: keras.Model, alignments: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> keras.Model:
    """The backbone with its taps mapped; the logits are as before.

    Args:
        backbone: model that returns a dict of tensors.
        alignments: matrix and offset by name of the output, as `align_features` returns them.
    """
    outputs = dict(backbone.output)
    for name, (matrix, offset) in alignments.items():
        alignment = keras.layers.Dense(len(offset), dtype="float32", name=f"{name}_alignment")
        outputs[name] = alignment(outputs[name])
        alignment.set_weights([matrix, offset])
    return keras.Model(backbone.input, outputs, name=backbone.name)
