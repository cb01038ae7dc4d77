"""Study `operations`: what each operation is worth to the search, Table VIII."""

from __future__ import annotations

from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS
from pipeline.config import RunConfig
from pipeline.studies.study import Study
from pipeline.studies.variant import Variant

_ALL = "all operations"


def _variants(config: RunConfig) -> list[Variant]:
    excluded = list(config.space.excluded_operations)
    return [
        Variant(_ALL, {"model": "hf_mnas"}),
        *(
            Variant(f"without {name}", {"model": "hf_mnas", "space.excluded_operations": [*excluded, name]})
            for name in (*EDGE_OPERATIONS, *NODE_OPERATIONS)
            if name != "none" and name not in excluded
        ),
    ]


OPERATIONS = Study(
    name="operations",
    title="the search with one operation left out",
    paper="Table VIII",
    reference=_ALL,
    variants_for=_variants,
)
