"""One row of a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

SEARCHED, RANDOM = "searched", "random"


@dataclasses.dataclass(frozen=True)
class Variant:
    """What one row of a study trains, as changes to the configuration that the study is given.

    Args:
        name: str. Names the row; unique in its study.
        overrides: dict from dotted keys of the configuration, such as `"mitigation.attention"`, to values. They are
            checked as a user's YAML is.
        row: str. The row of the paper that it stands for; empty (default) where the paper has none.
        published: dict from data set to what the paper reports for it, where that is known.
        reference: str or None. Name of the variant that this one is compared with. `None` (default): the study's.
        genotype: str. Where a searched model's genotype comes from: `"searched"` (default), or `"random"`: drawn
            evenly from the same space, another one each seed.
        least_seeds: int. Seeds to run where the study is asked for fewer. Defaults to `1`.
    """

    name: str
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    row: str = ""
    published: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reference: str | None = None
    genotype: str = SEARCHED
    least_seeds: int = 1

    def __post_init__(self):
        if self.genotype not in (SEARCHED, RANDOM):
            raise ValueError(f"`genotype` must be {SEARCHED!r} or {RANDOM!r}. Received: {self.genotype!r}.")
