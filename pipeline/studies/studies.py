"""All studies by name."""

from __future__ import annotations

from pipeline.studies.components import COMPONENTS
from pipeline.studies.methods import METHODS
from pipeline.studies.study import Study

STUDIES: dict[str, Study] = {study.name: study for study in (METHODS, COMPONENTS)}
