"""The supernet of a model, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfmnas_keras.models import searched_models  # noqa: F401 (registers ours)
from hfmnas_keras.models.parts.base_supernet import BaseSupernet
from hfmnas_keras.settings.models import SEARCHED_MODELS


def supernet_of(
    model: str, feature_shapes: Mapping[str, Sequence[int]], num_outputs: int, **kwargs: Any
) -> BaseSupernet:
    """Builds the supernet of a search space.

    Args:
        model: str. One of `SEARCHED_MODELS` of `hfmnas_keras.settings.models`.
        feature_shapes, num_outputs: as of `BaseSupernet`.
        **kwargs: further ones of `BaseSupernet` and those of `keras.Model`.

    Raises:
        ValueError: for a model that is not searched.
    """
    return SEARCHED_MODELS[model].supernet(feature_shapes, num_outputs, **kwargs)
