"""The supernet of a model, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfmnas_keras.models.bm_nas.bm_supernet import BMSupernet
from hfmnas_keras.models.hf_mnas.supernet import Supernet
from hfmnas_keras.models.parts.base_supernet import BaseSupernet
from hfmnas_keras.settings.models import SEARCHED_MODELS

_SUPERNETS: dict[str, type[BaseSupernet]] = {"hf_mnas": Supernet, "bm_nas": BMSupernet}


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
    if model not in _SUPERNETS:
        raise ValueError(f"The model {model!r} is not searched. Searched ones: {', '.join(SEARCHED_MODELS)}.")
    return _SUPERNETS[model](feature_shapes, num_outputs, **kwargs)
