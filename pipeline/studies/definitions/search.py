"""Study `search`: whether the search decides anything."""

from __future__ import annotations

from hfmnas_keras.settings.race import STRATEGIES
from hfmnas_keras.settings.space import NODE_INPUTS
from pipeline.config import RunConfig
from pipeline.studies.study import Study
from pipeline.studies.variant import RANDOM, Variant

_SEARCHED = "searched"
_RANDOM_GENOTYPES = 10
_VOTING = 4


def _variants(config: RunConfig) -> list[Variant]:
    folds = 0 if config.pretraining.folds else 5
    return [
        Variant("random genotypes", {"model": "hf_mnas"}, genotype=RANDOM, least_seeds=_RANDOM_GENOTYPES),
        Variant(_SEARCHED, {"model": "hf_mnas"}),
        *(
            Variant(f"strategy: {strategy}", {"model": "hf_mnas", "search.strategy": strategy})
            for strategy in STRATEGIES
            if strategy != config.search.strategy
        ),
        Variant(
            f"strategy: race, {_VOTING} networks vote",
            {
                "model": "hf_mnas",
                "search.strategy": "race",
                "final_model.ensemble": _VOTING,
                # A study trains on cached features whatever it says, but several networks cannot be asked for with it.
                "training.unfreeze_backbones": False,
            },
        ),
        *(
            Variant(f"node inputs: {node_inputs}", {"model": "hf_mnas", "space.node_inputs": node_inputs})
            for node_inputs in NODE_INPUTS
            if node_inputs != config.space.node_inputs
        ),
        Variant(
            f"{folds} folds in place of {config.pretraining.folds}", {"model": "hf_mnas", "pretraining.folds": folds}
        ),
    ]


SEARCH = Study(
    name="search",
    title="searched genotypes against random ones of the same space, and choices inside the search",
    paper="not in the paper",
    reference=_SEARCHED,
    variants_for=_variants,
)
