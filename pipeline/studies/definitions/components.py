"""Study `components`: what each part of the inconsistency mitigation and the Bi-LSTM add, Tables VI and VII."""

from __future__ import annotations

from typing import Any

from pipeline.config import RunConfig
from pipeline.studies import published
from pipeline.studies.study import Study
from pipeline.studies.variant import Variant

_LEVELS = {"lfbc": "low", "hfbc": "high"}
_BASE = "base"
_SWITCHES = ("mitigation.attention", "mitigation.correlation", "final_model.sequence_encoder")
_PARTS: dict[str, tuple[bool, bool, bool]] = {
    _BASE: (False, False, False),
    "+ MHA": (True, False, False),
    "+ DCCA": (False, True, False),
    "+ MHA + DCCA": (True, True, False),
    "+ MHA + DCCA + Bi-LSTM": (True, True, True),
}


def _variants(config: RunConfig) -> list[Variant]:
    *_, whole = _PARTS
    variants = [
        Variant(parts, _overrides(parts), parts, published.HF_MNAS if parts == whole else {}) for parts in _PARTS
    ]
    for modality in config.data.modalities:
        # Both inputs of each cell from one modality, through projections of their own.
        taps = {f"fusion.{cell}_taps": [f"{modality}_{level}"] * 2 for cell, level in _LEVELS.items()}
        variants += [
            Variant(
                f"{modality}: {parts}",
                {**_overrides(parts), **taps},
                f"{modality}, {parts}",
                reference=f"{modality}: {_BASE}",
            )
            for parts in _PARTS
        ]
    return variants


def _overrides(parts: str) -> dict[str, Any]:
    return {"model": "hf_mnas", **dict(zip(_SWITCHES, _PARTS[parts], strict=True))}


COMPONENTS = Study(
    name="components",
    title="what attention, correlation loss and Bi-LSTM add to the searched cells",
    paper="Tables VI and VII",
    reference=_BASE,
    variants_for=_variants,
)
