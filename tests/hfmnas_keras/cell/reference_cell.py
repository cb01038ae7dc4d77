"""Both views of a cell in float64 numpy, edge by edge and operation by operation (HF-MNAS, Eq. 10-25).

Written from docs/method.md, section 4. Only `chosen_weights` knows where the layers keep their weights.
"""

from __future__ import annotations

import itertools

import numpy as np

from hfmnas_keras.edge_operations import EDGE_OPERATIONS
from hfmnas_keras.node_operations import NODE_OPERATIONS
from tests.hfmnas_keras.cell.chosen_weights import edge_weights, fusion_weights
from tests.hfmnas_keras.reference_arithmetic import normalize_layer, softmax, weight_values
from tests.hfmnas_keras.reference_operations import edge_reference, fusion_reference, node_reference


def mixing_reference(gamma, node_inputs):
    """How the two inputs of one node are made of its edges: weights `(2, predecessors)` from its rows of gamma."""
    predecessors = len(gamma)
    if node_inputs == "shared":
        return np.ones((2, predecessors))
    if node_inputs == "split":
        earlier_nodes = [0.5] * (predecessors - 2)
        return np.array([[1, 0, *earlier_nodes], [0, 1, *earlier_nodes]])
    strengths = np.delete(softmax(gamma), EDGE_OPERATIONS.index("none"), axis=1).max(axis=1)
    pairs = list(itertools.combinations(range(predecessors), 2))
    total = sum(strengths[j] * strengths[k] for j, k in pairs)
    mixing = np.zeros((2, predecessors))
    for j, k in pairs:
        mixing[0, j] += strengths[j] * strengths[k] / total
        mixing[1, k] += strengths[j] * strengths[k] / total
    return mixing


def supernet_weights(cell):
    """The weights of all operations of a `SupernetCell` by place: `(node, predecessor, name)` or `(node, name)`."""
    weights = {}
    for node in range(cell.num_nodes):
        for predecessor, name in itertools.product(range(2 + node), EDGE_OPERATIONS):
            weights[node, predecessor, name] = edge_weights(cell, node, predecessor, name)
        for name in NODE_OPERATIONS:
            weights[node, name] = fusion_weights(cell, node, name)
    return weights


def supernet_logits(cell):
    """Gamma, beta and importance of a `SupernetCell`."""
    return [np.asarray(logits, "float64") for logits in (cell.gamma, cell.beta, cell.importance.value)]


def supernet_cell_reference(cell, inputs, training, logits=None, weights=None):
    """What a `SupernetCell` without dropout returns, with its own logits and weights or with others."""
    gamma, beta, importance = logits or supernet_logits(cell)
    weights = weights or supernet_weights(cell)
    sources = list(inputs)
    for node in range(cell.num_nodes):
        rows = gamma[node * (node + 3) // 2 :][: 2 + node]
        mixed_edges = []
        for predecessor, probabilities in enumerate(softmax(rows)):
            source, passed_by = np.split(sources[predecessor], [cell.channels // cell.partial_channels], axis=-1)
            total = np.zeros_like(source)
            for name, probability in zip(EDGE_OPERATIONS, probabilities, strict=True):
                total += probability * edge_reference(name, source, weights[node, predecessor, name], training)
            mixed_edges.append(shuffled(np.concatenate([total, passed_by], axis=-1), cell.partial_channels))
        first, second = np.tensordot(mixing_reference(rows, cell.node_inputs), np.stack(mixed_edges), axes=1)
        output = np.zeros_like(inputs[0])
        for name, probability in zip(NODE_OPERATIONS, softmax(beta[node]), strict=True):
            options = {"num_heads": cell.num_heads, "values": cell.attention_values}
            fused = fusion_reference(name, first, second, weights[node, name], training, **options)
            output += probability * normalize_layer(fused)
        sources.append(output)
    factors = cell.num_nodes * softmax(importance)
    return np.concatenate(
        [normalize_layer(output) * factor for output, factor in zip(sources[2:], factors, strict=True)], axis=-1
    )


def shuffled(grid, groups):
    """Channels dealt out like cards: the first of each group, then the second of each, ..."""
    size = grid.shape[-1] // groups
    return grid[..., [group * size + place for place in range(size) for group in range(groups)]]


def searched_cell_reference(cell, inputs, training):
    """What a `SearchedCell` without dropout returns."""
    genotype = cell.cell_genotype
    sources = dict(enumerate(inputs))
    for choice, edges, node in zip(genotype.nodes, cell.edges_of_node(), cell.nodes, strict=True):
        grids = [
            edge_reference(name, sources[predecessor], weight_values(edge), training)
            for name, predecessor, edge in zip(choice.edges, choice.predecessors, edges, strict=True)
        ]
        first, second = (np.mean(each, axis=0) for each in zip(*itertools.combinations(grids, 2), strict=True))
        weights = weight_values(node)
        options = {"num_heads": cell.num_heads, "values": cell.attention_values}
        sources[2 + choice.index] = node_reference(choice.fusion, first, second, weights, training, **options)
    return np.concatenate(
        [
            normalize_layer(sources[2 + index]) * genotype.num_nodes * genotype.importance[index]
            for index in genotype.kept
        ],
        axis=-1,
    )
