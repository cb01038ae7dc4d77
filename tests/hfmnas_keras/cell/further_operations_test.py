"""Operations beside the paper's: with one-hot logits the supernet's cell is the searched one all the same."""

import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.cell import MixedEdges, SearchedCell, SupernetCell
from hfmnas_keras.genotype import Genotype, discretise
from hfmnas_keras.genotype.one_hot_logits import one_hot_logits
from tests.hfmnas_keras.cell.chosen_weights import copy_cell
from tests.hfmnas_keras.further_operations import FURTHER_EDGES, FURTHER_NODES, registered
from tests.hfmnas_keras.reference_arithmetic import randomize_statistics, randomize_weights

CHANNELS, NUM_NODES, SHAPE = 4, 2, (2, 3, 2, 4)
# Two searched spaces: the paper's and one more of each; and few of the paper's, in an order of their own.
SPACES = {
    "eleven": (FURTHER_EDGES, FURTHER_NODES),
    "few": (("gated", "none", "sep_conv_3x3"), ("larger", "concat_fc")),
}


@pytest.fixture(autouse=True)
def _registered():
    with registered():
        yield


@pytest.mark.parametrize("space", SPACES)
def test_two_views(space):
    edges, nodes = SPACES[space]
    keras.utils.set_random_seed(0)
    options = {"dropout": 0.0, "num_heads": 2, "dtype": "float64"}
    supernet_cell = SupernetCell(CHANNELS, NUM_NODES, edge_operations=edges, node_operations=nodes, **options)
    supernet_cell.build([SHAPE, SHAPE])
    randomize_weights(supernet_cell)
    randomize_statistics(supernet_cell)
    gamma, beta = np.zeros((5, len(edges))), np.zeros((2, len(nodes)))
    # Node 0 reads both inputs, node 1 the second input and node 0.
    for edge, name in enumerate(("gated", "gated", "none", "sep_conv_3x3", "gated")):
        gamma[edge, edges.index(name)] = 5.0
    for node, name in enumerate(("larger", "concat_fc")):
        beta[node, nodes.index(name)] = 5.0
    cell_genotype = discretise(gamma, beta, np.array([0.3, 0.1]), 2, 2, edges, nodes)
    assert cell_genotype.to_labels() == {
        "node_0/edge_0": "gated",
        "node_0/edge_1": "gated",
        "node_0/fusion": "larger",
        "node_1/edge_1": "sep_conv_3x3",
        "node_1/edge_2": "gated",
        "node_1/fusion": "concat_fc",
    }
    one_hot_gamma, one_hot_beta = one_hot_logits(cell_genotype, edges, nodes)
    supernet_cell.gamma.assign(one_hot_gamma)
    supernet_cell.beta.assign(one_hot_beta)
    supernet_cell.importance.assign([0.3, 0.1])
    searched_cell = SearchedCell(cell_genotype, CHANNELS, **options)
    searched_cell.build([SHAPE, SHAPE])
    copy_cell(supernet_cell, searched_cell)
    inputs = list(np.random.default_rng(1).normal(size=(2, *SHAPE)))
    for training in (False, True):
        expected = ops.convert_to_numpy(supernet_cell(inputs, training=training))
        np.testing.assert_allclose(searched_cell(inputs, training=training), expected, rtol=0, atol=1e-5)


def test_each_edge_has_further_operations_of_its_own():
    edges = MixedEdges(CHANNELS, 3, dropout=0.0, operations=("none", "gated", "skip"), dtype="float64")
    source = np.random.default_rng(2).normal(size=SHAPE)
    probabilities = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
    edges.build([SHAPE, probabilities.shape])
    randomize_weights(edges)
    gates = [
        1 / (1 + np.exp(-(source @ np.asarray(gated.gate.kernel) + np.asarray(gated.gate.bias))))
        for gated in edges.further_operations
    ]
    expected = [source * (row[1] * gate + row[2]) for row, gate in zip(probabilities, gates, strict=True)]
    np.testing.assert_allclose(edges([source, probabilities]), np.stack(expected), rtol=0, atol=1e-12)
    assert len({float(gate[0, 0, 0, 0]) for gate in gates}) == 3


def test_a_genotype_keeps_what_was_searched():
    edges, nodes = SPACES["few"]
    cell = discretise(np.eye(5, 3), np.eye(2, 2), np.zeros(2), 2, 2, edges, nodes)
    genotype = Genotype(cell, cell, edge_operations=edges, node_operations=nodes)
    assert Genotype.from_json(genotype.to_json()) == genotype
    assert genotype.probability_tables()["lfbc/gamma"].columns == edges
    with pytest.raises(ValueError, match=r"The cells have \['gated'\], which are not among `edge_operations`"):
        Genotype(cell, cell)
    for operations, message in (
        (["none"], "must have `none` and what to choose from"),
        (["gated", "skip"], "must have `none` and what to choose from"),
        (["none", "gated", "gated"], "each operation once"),
        (["none", "warp"], "no edge operation 'warp'. Known ones: none, skip"),
        ("none", "must be a list of names"),
    ):
        with pytest.raises(ValueError, match=message):
            Genotype(cell, cell, edge_operations=operations, node_operations=nodes)
