"""A supernet's cell with one operation left in each place is the searched cell (docs/method.md, section 4)."""

import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.cell import SearchedCell, SupernetCell
from hfmnas_keras.edge_operations import EDGE_OPERATIONS
from hfmnas_keras.genotype import discretise
from hfmnas_keras.node_operations import NODE_OPERATIONS
from tests.hfmnas_keras.cell.chosen_weights import copy_cell, decide
from tests.hfmnas_keras.reference_arithmetic import randomize_statistics, randomize_weights

CHANNELS = 4
NUM_NODES = 4


def endless_deck(generator, names):
    """Every name once before any comes twice."""
    while True:
        yield from generator.permutation(names)


def random_choices(generator, edge_names, fusion_names):
    """For every node two predecessors at random, `none` on its other edges, and a node operation."""
    gamma_choices = []
    for node in range(NUM_NODES):
        pair = generator.choice(2 + node, size=2, replace=False)
        gamma_choices += [str(next(edge_names)) if predecessor in pair else "none" for predecessor in range(2 + node)]
    return gamma_choices, [str(next(fusion_names)) for _ in range(NUM_NODES)]


@pytest.mark.parametrize(("grid", "values"), [((4, 4), "query"), ((5, 3), "key")])
def test_random_genotypes(grid, values):
    # In double precision: rounding in single precision differs from stack to stack by more than is allowed here.
    keras.utils.set_random_seed(0)
    shape = (2, *grid, CHANNELS)
    options = {"dropout": 0.0, "num_heads": 2, "attention_values": values, "dtype": "float64"}
    supernet_cell = SupernetCell(CHANNELS, NUM_NODES, **options)
    supernet_cell.build([shape, shape])
    randomize_weights(supernet_cell)
    randomize_statistics(supernet_cell)
    generator = np.random.default_rng(sum(grid))
    inputs = list(generator.normal(size=(2, *shape)))
    edge_names = endless_deck(generator, [name for name in EDGE_OPERATIONS if name != "none"])
    fusion_names = endless_deck(generator, NODE_OPERATIONS)
    seen_edges, seen_fusions, dropped, pruned = set(), set(), 0, 0
    for kept_nodes in (1, 2, 3, 4, 4, 4):
        gamma_choices, beta_choices = random_choices(generator, edge_names, fusion_names)
        decide(supernet_cell, gamma_choices, beta_choices)
        supernet_cell.importance.assign(generator.normal(size=NUM_NODES))
        cell_genotype = discretise(
            *(ops.convert_to_numpy(each) for each in (supernet_cell.gamma, supernet_cell.beta)),
            ops.convert_to_numpy(supernet_cell.importance),
            kept_nodes,
        )
        searched_cell = SearchedCell(cell_genotype, CHANNELS, **options)
        searched_cell.build([shape, shape])
        copy_cell(supernet_cell, searched_cell)
        # Inference first: training moves the moving averages of both.
        for training in (False, True):
            expected = ops.convert_to_numpy(supernet_cell(inputs, training=training))
            expected = expected.reshape(*shape[:-1], NUM_NODES, CHANNELS)[..., list(cell_genotype.kept), :]
            received = searched_cell(inputs, training=training)
            np.testing.assert_allclose(received, expected.reshape(received.shape), rtol=0, atol=1e-5)
        for node in cell_genotype.nodes:
            seen_edges.update(node.edges)
            seen_fusions.add(node.fusion)
            dropped += node.index not in cell_genotype.kept
        pruned += NUM_NODES - len(cell_genotype.nodes)
    assert seen_edges == set(EDGE_OPERATIONS) - {"none"}
    assert seen_fusions == set(NODE_OPERATIONS)
    assert dropped and pruned
