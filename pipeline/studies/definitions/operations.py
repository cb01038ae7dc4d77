"""Study `operations`: what each operation is worth to the search, Table VIII."""

from __future__ import annotations

from pipeline.config import RunConfig
from pipeline.studies.study import Study
from pipeline.studies.variant import Variant

_ALL = "all operations"


def _variants(config: RunConfig) -> list[Variant]:
    variants = [Variant(_ALL, {"model": "hf_mnas"})]
    for kind in ("edge_operations", "node_operations"):
        searched = getattr(config.space, kind)
        for left_out in searched:
            if left_out != "none":
                rest = [name for name in searched if name != left_out]
                variants.append(Variant(f"without {left_out}", {"model": "hf_mnas", f"space.{kind}": rest}))
    return variants


OPERATIONS = Study(
    name="operations",
    title="the search with one operation left out",
    paper="Table VIII",
    reference=_ALL,
    variants_for=_variants,
)
