"""Study `cost`: what searching and answering take, Table IX."""

from __future__ import annotations

import dataclasses

from pipeline.config import RunConfig
from pipeline.studies import published
from pipeline.studies.definitions.methods import METHODS
from pipeline.studies.figure import draw_costs
from pipeline.studies.study import Study
from pipeline.studies.variant import Variant


def _variants(config: RunConfig) -> list[Variant]:
    return [
        dataclasses.replace(variant, published=published.COSTS.get(variant.name, {}))
        for variant in METHODS.variants(config)
    ]


COST = Study(
    name="cost",
    title="time of search and training, parameters, FLOPs and latency of the models of `methods`",
    paper="Table IX",
    reference="HF-MNAS",
    variants_for=_variants,
    draw=draw_costs,
)
