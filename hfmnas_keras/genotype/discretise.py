"""From architecture parameters to a cell with one operation in each place (HF-MNAS, Eq. 12)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hfmnas_keras.genotype.cell_genotype import CellGenotype
from hfmnas_keras.genotype.node_choice import NodeChoice
from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS


def discretise(
    gamma: np.ndarray,
    beta: np.ndarray,
    importance: np.ndarray,
    kept_nodes: int = 3,
    kept_edges: int = 2,
    edge_operations: Sequence[str] = EDGE_OPERATIONS,
    node_operations: Sequence[str] = NODE_OPERATIONS,
) -> CellGenotype:
    """Chooses the strongest of everything in one cell (HF-MNAS, Eq. 12; docs/method.md, section 4).

    Per node: the `kept_edges` predecessors whose edges have the largest probability of an operation other than `none`,
    each with that operation, and the node operation of largest beta. The `kept_nodes` nodes of largest importance form
    the output. A node that is not kept stays if a kept one reads it, directly or through others; the rest is pruned.
    Ties go to the lower index.

    Args:
        gamma: array `(M * (M + 3) / 2, edge operations)`, logits; the edges of node 0 (from predecessors 0, 1) come
            first, then those of node 1 (0, 1, 2), and so on.
        beta: array `(M, node operations)`, logits.
        importance: array `(M,)`, logits w of the node importance.
        kept_nodes: int. K, from 1 to M. Defaults to `3`.
        kept_edges: int. Predecessors of a node, from 2 to M + 1; a node that has fewer keeps all. Defaults to `2`.
        edge_operations, node_operations: names of the columns of gamma, `"none"` among them, and of beta. Default to
            the paper's.

    Returns:
        `CellGenotype`.

    Raises:
        ValueError: when shapes do not fit each other, or a logit is NaN.
    """
    gamma, beta, importance = (np.asarray(logits, dtype=np.float64) for logits in (gamma, beta, importance))
    _check(gamma, beta, importance, kept_nodes, kept_edges, (len(edge_operations), len(node_operations)))
    num_nodes = len(beta)
    # `none` takes part in the softmax, so an edge that is mostly `none` ranks low, but is never chosen.
    strength = _softmax(gamma)
    strength[:, edge_operations.index("none")] = -1.0
    nodes = {}
    for index in range(num_nodes):
        first_edge = index * (index + 3) // 2
        edges = strength[first_edge : first_edge + 2 + index]
        # A stable sort of the negative keeps the lower index first among equals.
        strongest = np.argsort(-edges.max(axis=1), kind="stable")[:kept_edges]
        predecessors = tuple(sorted(int(predecessor) for predecessor in strongest))
        nodes[index] = NodeChoice(
            index=index,
            predecessors=predecessors,
            edges=tuple(edge_operations[int(edges[predecessor].argmax())] for predecessor in predecessors),
            fusion=node_operations[int(beta[index].argmax())],
        )
    shares = _softmax(importance)
    # Ranked by the logits: shares of very unequal logits can both round to 0.
    kept = sorted(int(index) for index in np.argsort(-importance, kind="stable")[:kept_nodes])
    reachable = set(kept)
    for index in reversed(range(num_nodes)):
        if index in reachable:
            reachable.update(predecessor - 2 for predecessor in nodes[index].predecessors if predecessor >= 2)
    return CellGenotype(
        num_nodes=num_nodes,
        nodes=tuple(nodes[index] for index in sorted(reachable)),
        kept=tuple(kept),
        importance=tuple(float(share) for share in shares),
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _check(
    gamma: np.ndarray,
    beta: np.ndarray,
    importance: np.ndarray,
    kept_nodes: int,
    kept_edges: int,
    num_operations: tuple[int, int],
) -> None:
    num_nodes = len(beta) if beta.ndim else 0
    expected = {
        "gamma": (gamma, (num_nodes * (num_nodes + 3) // 2, num_operations[0])),
        "beta": (beta, (num_nodes, num_operations[1])),
        "importance": (importance, (num_nodes,)),
    }
    for name, (logits, shape) in expected.items():
        if num_nodes == 0 or logits.shape != shape:
            raise ValueError(
                f"`{name}` of a cell with {num_nodes} nodes must have shape {shape}. Received: {logits.shape}."
            )
        # Minus infinity is allowed, it is how a choice is ruled out, but not in all places of a row.
        if np.isnan(logits).any() or not np.isfinite(logits.max(axis=-1)).all():
            raise ValueError(f"`{name}` holds NaN or infinity: the search has diverged. Lower its learning rate.")
    if not 1 <= kept_nodes <= num_nodes:
        raise ValueError(f"`kept_nodes` must be from 1 to the {num_nodes} nodes. Received: {kept_nodes!r}.")
    if not 2 <= kept_edges <= num_nodes + 1:
        raise ValueError(
            f"`kept_edges` must be from 2 to {num_nodes + 1}, the predecessors of the last node. "
            f"Received: {kept_edges!r}."
        )
