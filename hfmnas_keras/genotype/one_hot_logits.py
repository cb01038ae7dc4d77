"""From a cell with one operation in each place back to logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hfmnas_keras.genotype.cell_genotype import CellGenotype
from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS

# Its exponential is 0 in single precision, and unlike minus infinity it can be added to itself.
_RULED_OUT = -1e4


def one_hot_logits(
    cell: CellGenotype,
    edge_operations: Sequence[str] = EDGE_OPERATIONS,
    node_operations: Sequence[str] = NODE_OPERATIONS,
) -> tuple[np.ndarray, np.ndarray]:
    """Gamma and beta under which a supernet's cell computes what a genotype describes (docs/method.md, section 4).

    The inverse of `discretise`. What was not chosen has probability 0; on edges that were not chosen, those into
    pruned nodes too, `none` has probability 1.

    Args:
        cell: `CellGenotype` of M nodes.
        edge_operations, node_operations: as of `discretise`.

    Returns:
        Pair of float32 arrays, gamma `(M * (M + 3) / 2, edge operations)` and beta `(M, node operations)`.

    Example:
    >>> gamma, beta = one_hot_logits(genotype.lfbc)
    >>> discretise(gamma, beta, np.log(genotype.lfbc.importance), kept_nodes=3) == genotype.lfbc
    True
    """
    num_edges = cell.num_nodes * (cell.num_nodes + 3) // 2
    chosen_edges = np.full(num_edges, edge_operations.index("none"))
    chosen_fusions = np.zeros(cell.num_nodes, int)
    for node in cell.nodes:
        for predecessor, edge in zip(node.predecessors, node.edges, strict=True):
            chosen_edges[node.index * (node.index + 3) // 2 + predecessor] = edge_operations.index(edge)
        chosen_fusions[node.index] = node_operations.index(node.fusion)
    return _one_hot(chosen_edges, len(edge_operations)), _one_hot(chosen_fusions, len(node_operations))


def _one_hot(chosen: np.ndarray, size: int) -> np.ndarray:
    logits = np.full((len(chosen), size), _RULED_OUT, "float32")
    logits[np.arange(len(chosen)), chosen] = 0.0
    return logits
