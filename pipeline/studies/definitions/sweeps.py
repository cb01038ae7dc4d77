"""Studies of one setting each: `top_k` and `stacking` (Fig. 11 and 12), `heads`, `batch`, `dropout` (Fig. 13 to 16)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pipeline.config import RunConfig
from pipeline.studies.study import Study
from pipeline.studies.variant import Variant

_REFERENCE = "as configured"


def _sweep(
    name: str,
    title: str,
    paper: str,
    keys: Sequence[str],
    form: str,
    values: Callable[[RunConfig], Sequence[Any]],
    current: Callable[[RunConfig], Any],
) -> Study:
    """A study whose variants give one value to some keys, and are compared with the configuration as it is."""

    def variants_for(config: RunConfig) -> list[Variant]:
        return [
            Variant(_REFERENCE, {"model": "hf_mnas"}),
            *(
                Variant(form.format(value), {"model": "hf_mnas", **dict.fromkeys(keys, value)})
                for value in values(config)
                if value != current(config)
            ),
        ]

    return Study(name, title, paper, _REFERENCE, variants_for)


def _top_k(config: RunConfig) -> list[Variant]:
    space = config.space
    return [
        Variant(_REFERENCE, {"model": "hf_mnas"}),
        *(
            Variant(f"{count} nodes kept", {"model": "hf_mnas", "space.kept_nodes": count})
            for count in range(1, space.num_nodes + 1)
            if count != space.kept_nodes
        ),
        *(
            Variant(f"{count} edges a node", {"model": "hf_mnas", "space.kept_edges": count})
            for count in range(2, space.num_nodes + 2)
            if count != space.kept_edges
        ),
    ]


TOP_K = Study("top_k", "how many nodes and edges a cell keeps", "Fig. 11", _REFERENCE, _top_k)
STACKING = _sweep(
    "stacking",
    "how many cells are stacked in a branch",
    "Fig. 12",
    ["final_model.num_cells"],
    "{} cells a branch",
    lambda config: (1, 2, 3, 4),
    lambda config: config.final_model.num_cells,
)
HEADS = _sweep(
    "heads",
    "how many heads attention has",
    "Fig. 13 to 16",
    ["fusion.num_heads"],
    "{} heads",
    lambda config: [count for count in (1, 2, 4, 8, 16) if _divides(count, config)],
    lambda config: config.fusion.num_heads,
)
BATCH = _sweep(
    "batch",
    "rows in a batch of search and training",
    "Fig. 13 to 16",
    ["search.batch_size", "training.batch_size"],
    "{} rows a batch",
    lambda config: (4, 8, 16, 32, 64),
    lambda config: config.search.batch_size if config.search.batch_size == config.training.batch_size else None,
)
DROPOUT = _sweep(
    "dropout",
    "dropout of the fusion network",
    "Fig. 13 to 16",
    ["fusion.dropout"],
    "dropout {}",
    lambda config: (0.0, 0.1, 0.2, 0.3, 0.5),
    lambda config: config.fusion.dropout,
)


def _divides(heads: int, config: RunConfig) -> bool:
    return config.final_model.channels % heads == 0 and config.search.channels % heads == 0
