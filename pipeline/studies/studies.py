"""All studies by name."""

from __future__ import annotations

from pipeline.studies.components import COMPONENTS
from pipeline.studies.cost import COST
from pipeline.studies.inconsistency import INCONSISTENCY
from pipeline.studies.methods import METHODS
from pipeline.studies.operations import OPERATIONS
from pipeline.studies.search import SEARCH
from pipeline.studies.study import Study
from pipeline.studies.sweeps import BATCH, DROPOUT, HEADS, STACKING, TOP_K
from pipeline.studies.taps import TAPS

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        METHODS,
        COMPONENTS,
        OPERATIONS,
        COST,
        INCONSISTENCY,
        TAPS,
        TOP_K,
        STACKING,
        HEADS,
        BATCH,
        DROPOUT,
        SEARCH,
    )
}
