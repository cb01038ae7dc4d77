"""All studies by name."""

from __future__ import annotations

from pipeline.studies.definitions.components import COMPONENTS
from pipeline.studies.definitions.cost import COST
from pipeline.studies.definitions.inconsistency import INCONSISTENCY
from pipeline.studies.definitions.methods import METHODS
from pipeline.studies.definitions.operations import OPERATIONS
from pipeline.studies.definitions.search import SEARCH
from pipeline.studies.definitions.sweeps import BATCH, DROPOUT, HEADS, STACKING, TOP_K
from pipeline.studies.definitions.taps import TAPS
from pipeline.studies.study import Study

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
