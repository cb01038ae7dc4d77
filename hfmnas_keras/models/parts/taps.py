"""Checks of the features that a fusion network reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hfmnas_keras.settings.fusion import FusionSettings


def check_taps(feature_shapes: Mapping[str, Sequence[int]], fusion: FusionSettings) -> list[str]:
    """Returns the names of the features that the two cells read, each once, in the order of the cells' inputs.

    Raises:
        ValueError: when a cell has not two taps, or a tap is not among the features.
    """
    names: list[str] = []
    for field in ("lfbc_taps", "hfbc_taps"):
        taps = getattr(fusion, field)
        if len(taps) != 2:
            raise ValueError(f"A cell has two inputs. Received: `{field}={tuple(taps)}`.")
        for tap in taps:
            if tap not in feature_shapes:
                raise ValueError(
                    f"`{field}` names `{tap}`, which is not among the features {sorted(feature_shapes)}. "
                    f"Set `{field}` to two of them."
                )
            if tap not in names:
                names.append(tap)
    return names


def modalities_of_taps(fusion: FusionSettings) -> list[str]:
    """Returns the modalities whose features the two cells read, each once: one, in a unimodal run.

    Example:
    >>> modalities_of_taps(FusionSettings(lfbc_taps=("image_low",) * 2, hfbc_taps=("image_high",) * 2))
    ['image']
    """
    return list(dict.fromkeys(tap.rpartition("_")[0] for tap in (*fusion.lfbc_taps, *fusion.hfbc_taps)))
