"""Study `taps`: which features feed which cell, Fig. 10."""

from __future__ import annotations

from pipeline.config import RunConfig
from pipeline.studies.study import Study
from pipeline.studies.variant import Variant

_DEFAULT = "low / high"
#: Levels of the two modalities, of the first cell and of the second.
_LEVELS = {
    _DEFAULT: (("low", "low"), ("high", "high")),
    "high / low": (("high", "high"), ("low", "low")),
    "low / low": (("low", "low"), ("low", "low")),
    "high / high": (("high", "high"), ("high", "high")),
    "low and high / high and low": (("low", "high"), ("high", "low")),
}


def _variants(config: RunConfig) -> list[Variant]:
    return [
        Variant(
            name,
            {
                "model": "hf_mnas",
                **{
                    f"fusion.{cell}_taps": [
                        f"{modality}_{level}"
                        for modality, level in zip(config.data.modalities, levels_of_cell, strict=True)
                    ]
                    for cell, levels_of_cell in zip(("lfbc", "hfbc"), levels, strict=True)
                },
            },
        )
        for name, levels in _LEVELS.items()
    ]


TAPS = Study(
    name="taps",
    title="levels of the features that the first and the second cell read",
    paper="Fig. 10",
    reference=_DEFAULT,
    variants_for=_variants,
)
