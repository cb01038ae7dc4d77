"""Genotypes to try: drawn evenly, drawn from a search's distribution, or next to another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from hfmnas_keras.genotype.cell_genotype import CellGenotype
from hfmnas_keras.genotype.discretise import discretise
from hfmnas_keras.genotype.genotype import CELLS, Genotype
from hfmnas_keras.genotype.random_genotype import random_genotype
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.space import SpaceSettings

# Logits of the choices that a genotype has made, above whatever is drawn, and of the one that replaces another.
_CHOSEN, _NEW = 8.0, 32.0


def drawn_genotype(
    probabilities: Mapping[str, np.ndarray], space: SpaceSettings, like: Genotype, generator: np.random.Generator
) -> Genotype:
    """Draws a genotype from the distribution that a bilevel search ended in.

    Gumbel noise on the logits: each operation is drawn with its probability, and edges and kept nodes are drawn without
    replacement.

    Args:
        probabilities: arrays by label, as of `SearchResult.probabilities`.
        space: `SpaceSettings`, of which kept nodes and edges count.
        like: `Genotype` of the search: which operations there are, and its metadata.
        generator: NumPy's.

    Returns:
        `Genotype`.
    """
    cells: dict[str, Any] = {}
    for name in CELLS:
        tables = []
        for table in ("gamma", "beta", "importance"):
            with np.errstate(divide="ignore"):  # a choice that has become impossible
                logits = np.log(np.asarray(probabilities[f"{name}/{table}"], "float64"))
            tables.append(logits + generator.gumbel(size=logits.shape))
        cells[name] = _discretised(tables, space, like)
    return dataclasses.replace(like, **cells)


def neighbour(genotype: Genotype, space: SpaceSettings, generator: np.random.Generator) -> Genotype:
    """A genotype that differs in one choice: an operation of an edge or node, what a node reads, or what is kept.

    What has been pruned and comes back by a new choice is drawn evenly.

    Args:
        genotype: `Genotype`.
        space: `SpaceSettings`.
        generator: NumPy's.

    Returns:
        `Genotype`, another one.
    """
    while True:
        name = CELLS[generator.integers(len(CELLS))]
        gamma, beta, importance = _logits(genotype, name, generator)
        chosen = genotype.cells[name]
        node = chosen.nodes[generator.integers(len(chosen.nodes))]
        first = node.index * (node.index + 3) // 2
        kind = generator.choice(["edge", "source", "fusion", "kept"])
        if kind == "fusion":
            beta[node.index, generator.integers(beta.shape[1])] = _NEW
        elif kind == "kept":
            left_out = np.setdiff1d(np.arange(len(importance)), chosen.kept)
            if len(left_out):
                pair = [generator.choice(left_out), generator.choice(chosen.kept)]
                importance[pair] = importance[pair[::-1]]
        else:
            # An operation for an edge that there is, or an edge from elsewhere in the place of the weakest.
            sources = node.predecessors if kind == "edge" else range(2 + node.index)
            edge = first + sources[generator.integers(len(sources))]
            operations = [place for place, operation in enumerate(genotype.edge_operations) if operation != "none"]
            gamma[edge, generator.choice(operations)] = _NEW
        changed: dict[str, Any] = {name: _discretised([gamma, beta, importance], space, genotype)}
        found = dataclasses.replace(genotype, **changed)
        if found.labels(importance=False) != genotype.labels(importance=False):
            return found


def proposal(
    number: int,
    space: SpaceSettings,
    fusion: FusionSettings,
    seed: int,
    probabilities: Mapping[str, np.ndarray] | None = None,
    found: Genotype | None = None,
    attempt: int = 0,
) -> Genotype:
    """Candidate `number` of a race, as a function of its arguments alone.

    Without a bilevel search all are drawn evenly. With one, the first is its genotype, and the next ones are in turn
    drawn from its distribution, a neighbour of its genotype, and drawn evenly.

    Args:
        number: int. From 0.
        space, fusion: as of `random_genotype`.
        seed: int.
        probabilities, found: what a bilevel search ended in, and its genotype.
        attempt: int. Above 0: another draw in the place of the earlier ones, evenly for the first candidate.

    Returns:
        `Genotype`.
    """
    generator = np.random.default_rng([seed, 7, number, attempt] if attempt else [seed, 7, number])
    if found is None or probabilities is None:
        return random_genotype(space, fusion, int(generator.integers(2**31)))
    if number == 0 and not attempt:
        return found
    if number % 3 == 1:
        return drawn_genotype(probabilities, space, found, generator)
    if number % 3 == 2:
        return neighbour(found, space, generator)
    return random_genotype(space, fusion, int(generator.integers(2**31)))


def _logits(genotype: Genotype, name: str, generator: np.random.Generator) -> list[np.ndarray]:
    """Logits that a cell follows from; what it says nothing of is drawn."""
    cell, nodes = genotype.cells[name], genotype.num_nodes
    edges, fusions = genotype.edge_operations, genotype.node_operations
    gamma = generator.normal(size=(nodes * (nodes + 3) // 2, len(edges)))
    beta = generator.normal(size=(nodes, len(fusions)))
    for node in cell.nodes:
        beta[node.index, fusions.index(node.fusion)] = _CHOSEN
        for predecessor, edge in zip(node.predecessors, node.edges, strict=True):
            # Which of them gives way to a new edge is drawn too.
            row = gamma[node.index * (node.index + 3) // 2 + predecessor]
            row[edges.index(edge)] = _CHOSEN + generator.uniform()
    importance = np.log(np.maximum(cell.importance, 1e-6))
    left_out = np.setdiff1d(np.arange(nodes), cell.kept)
    if len(left_out) and importance[left_out].max() >= importance[list(cell.kept)].min():
        # As in a file that says nothing of importance.
        importance[list(cell.kept)] += importance[left_out].max() - importance[list(cell.kept)].min() + 1e-3
    return [gamma, beta, importance]


def _discretised(logits: list[np.ndarray], space: SpaceSettings, like: Genotype) -> CellGenotype:
    searched: dict[str, Any] = {"edge_operations": like.edge_operations, "node_operations": like.node_operations}
    gamma, beta, importance = logits
    return discretise(gamma, beta, importance, space.kept_nodes, space.kept_edges, **searched)
