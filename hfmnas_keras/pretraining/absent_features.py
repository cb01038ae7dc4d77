"""Features of rows that lack a modality: the mean of those that have it (docs/method.md, section 3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def mean_features(features: Mapping[str, np.ndarray], lacking: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The mean of each feature of a modality that some row lacks, over the rows that have it.

    Args:
        features: array `(rows, ...)` by name, such as `"text_low"`.
        lacking: bool array `(rows,)` by modality, which rows lack it.

    Returns:
        dict of arrays without the rows, by name; of modalities that no row lacks none.

    Raises:
        ValueError: when all rows lack a modality.
    """
    means = {}
    for modality, rows in lacking.items():
        if rows.all():
            raise ValueError(f"No row has {modality}. Leave it out of the modalities, or bring rows that have it.")
        if rows.any():
            names = [name for name in features if name.rpartition("_")[0] == modality]
            means.update({name: features[name][~rows].mean(axis=0) for name in names})
    return means


def filled_features(
    features: Mapping[str, np.ndarray], lacking: Mapping[str, np.ndarray], means: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The features with the means of train in the rows that lack a modality.

    Args:
        features, lacking: as of `mean_features`.
        means: what that returned for train. A feature without a mean there takes its own.
    """
    means = {**mean_features(features, lacking), **means}
    changed = dict(features)
    for modality, rows in lacking.items():
        for name in [name for name in features if name.rpartition("_")[0] == modality and rows.any()]:
            changed[name] = features[name].copy()
            changed[name][rows] = means[name]
    return changed
