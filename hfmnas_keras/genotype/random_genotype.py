"""Genotypes by chance, with which searched ones are compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from hfmnas_keras.genotype.discretise import discretise
from hfmnas_keras.genotype.genotype import CELLS, Genotype
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.space import SpaceSettings


def random_genotype(space: SpaceSettings, fusion: FusionSettings, seed: int) -> Genotype:
    """Draws a genotype from the space that a search with these settings chooses from.

    Logits are drawn and discretised as a search's are: each node's operation, its predecessors, the operations on its
    edges and the kept nodes are all equally likely.

    Args:
        space: `SpaceSettings`.
        fusion: `FusionSettings`, of which the taps count.
        seed: int.

    Returns:
        `Genotype`.
    """
    generator = np.random.default_rng(seed)
    nodes = space.num_nodes
    searched: dict[str, Any] = {name: getattr(space, name) for name in ("edge_operations", "node_operations")}
    edges, fusions = map(len, searched.values())
    shapes = ((nodes * (nodes + 3) // 2, edges), (nodes, fusions), (nodes,))
    cells: dict[str, Any] = {}
    for name in CELLS:
        gamma, beta, importance = (generator.normal(size=shape) for shape in shapes)
        cells[name] = discretise(gamma, beta, importance, space.kept_nodes, space.kept_edges, **searched)
    taps = {f"{name}_taps": list(getattr(fusion, f"{name}_taps")) for name in CELLS}
    return Genotype(**cells, metadata={**taps, "random_seed": seed}, **searched)
