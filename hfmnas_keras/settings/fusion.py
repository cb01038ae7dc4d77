"""Settings of the fusion network: what search and final model share, the mitigation, and the final model's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hfmnas_keras.settings.backbones import CLIP_MODALITIES
from hfmnas_keras.settings.checks import require

VECTOR_TO_GRID = ("project", "tile")
ATTENTION_VALUES = ("query", "key")
ATTENTION_INPUTS = ("views", "hidden")
CORRELATION_NORMS = ("nuclear", "frobenius")


@dataclasses.dataclass(frozen=True)
class FusionSettings:
    """The fusion network, searched or being searched (method sections 3 and 4).

    Args:
        grid: pair of ints. Height and width of every grid; the backbones pool their maps to it. Defaults to `(4, 4)`.
        lfbc_taps, hfbc_taps: pairs of feature names, the two inputs of the low and of the high cell (Fig. 10).
        vector_to_grid: str. `"project"` (default: Dense and reshape) or `"tile"` (as BM-NAS).
        num_heads: int. Heads of every multi-head attention. Defaults to `4`.
        attention_values: str. Whose values every multi-head attention reads, in the cells and in the inconsistency
            mitigation: `"query"` (default: those of the queries' input, as Eq. 14-15 print it) or `"key"` (ordinary
            cross-attention).
        dropout: float. Defaults to `0.1`.
    """

    grid: tuple[int, int] = (4, 4)
    lfbc_taps: tuple[str, str] = ("text_low", "image_low")
    hfbc_taps: tuple[str, str] = ("text_high", "image_high")
    vector_to_grid: str = "project"
    num_heads: int = 4
    attention_values: str = "query"
    dropout: float = 0.1

    def __post_init__(self) -> None:
        require(self.num_heads >= 1, "num_heads", self.num_heads, "at least 1")
        require(len(self.grid) == 2 and min(self.grid) >= 1, "grid", self.grid, "two ints, each at least 1")
        require(
            self.vector_to_grid in VECTOR_TO_GRID, "vector_to_grid", self.vector_to_grid, f"one of {VECTOR_TO_GRID}"
        )
        require(
            self.attention_values in ATTENTION_VALUES,
            "attention_values",
            self.attention_values,
            f"one of {ATTENTION_VALUES}",
        )
        require(0 <= self.dropout < 1, "dropout", self.dropout, "in [0, 1)")


@dataclasses.dataclass(frozen=True)
class MitigationSettings:
    """The inconsistency mitigation, in the search and in the final model (method section 5).

    Args:
        attention: bool. Multi-head attention between the branches (section IV-C-2, Fig. 9). Defaults to `True`.
        attention_inputs: str. What it reads of the two branches: `"views"` (default: the correlated outputs O1 and O2,
            Fig. 9) or `"hidden"`, the wider layers before them.
        correlation: bool. DCCA loss (Eq. 26-28). Defaults to `True`.
        correlation_dim: int. Width d of the two correlated views. Defaults to `16`.
        correlation_weight: float. Lambda of the total loss. Defaults to `0.1`.
        correlation_norm: str. What the DCCA loss adds up: `"nuclear"` (default: the canonical correlations) or
            `"frobenius"` (their squares).
        in_bm_nas: bool. Whether the two cells of BM-NAS meet in it too (Fig. 5); it has no place for more. Defaults to
            `False`.
    """

    attention: bool = True
    attention_inputs: str = "views"
    correlation: bool = True
    correlation_dim: int = 16
    correlation_weight: float = 0.1
    correlation_norm: str = "nuclear"
    in_bm_nas: bool = False

    def __post_init__(self) -> None:
        require(
            self.attention_inputs in ATTENTION_INPUTS,
            "attention_inputs",
            self.attention_inputs,
            f"one of {ATTENTION_INPUTS}",
        )
        require(self.correlation_dim >= 1, "correlation_dim", self.correlation_dim, "at least 1")
        require(self.correlation_weight >= 0, "correlation_weight", self.correlation_weight, "0 or more")
        require(
            self.correlation_norm in CORRELATION_NORMS,
            "correlation_norm",
            self.correlation_norm,
            f"one of {CORRELATION_NORMS}",
        )


@dataclasses.dataclass(frozen=True)
class FinalModelSettings:
    """What only the final model has: the search neither reads nor repeats it (method sections 4 and 6).

    Args:
        channels: int. Channels C of every grid. Defaults to `192`.
        num_cells: int. Cells of HF-MNAS stacked in a branch; the search always uses one. Defaults to `1`.
        sequence_encoder: bool. Bi-LSTM in HF-MNAS (section 6). Defaults to `False`: it takes as long as all else and
            was never seen to add to the score (docs/results.md). The paper's presets have it.
        ensemble: int. Fusion networks that are trained, of which those are served that vote better together, beside
            each other on the same backbones. Each costs a training. Defaults to `1`, the paper's.
    """

    channels: int = 192
    num_cells: int = 1
    sequence_encoder: bool = False
    ensemble: int = 1

    def __post_init__(self) -> None:
        require(self.channels >= 1, "channels", self.channels, "at least 1")
        require(self.num_cells >= 1, "num_cells", self.num_cells, "at least 1")
        require(self.ensemble >= 1, "ensemble", self.ensemble, "at least 1")


def defaults_by_modality(modalities: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Settings that follow from the two modalities: which features the cells read, the grid, the width.

    Where both are clips the grid is `(8, 1)`, time by space, of 128 channels (method, section 4).

    Returns:
        dict from `fusion` and `final_model` to the settings of `FusionSettings` and `FinalModelSettings`.

    Example:
    >>> FusionSettings(dropout=0.2, **defaults_by_modality(("skeleton", "video"))["fusion"])
    """
    both_clips = set(modalities) <= set(CLIP_MODALITIES)
    return {
        "fusion": {
            "lfbc_taps": tuple(f"{modality}_low" for modality in modalities),
            "hfbc_taps": tuple(f"{modality}_high" for modality in modalities),
            **({"grid": (8, 1)} if both_clips else {}),
        },
        "final_model": {"channels": 128} if both_clips else {},
    }
