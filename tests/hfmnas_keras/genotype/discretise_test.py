import numpy as np
import pytest

from hfmnas_keras.edge_operations import EDGE_OPERATIONS
from hfmnas_keras.genotype import NodeChoice, discretise
from hfmnas_keras.node_operations import NODE_OPERATIONS


def logits(num_nodes):
    """Zeros everywhere: all is tied."""
    return np.zeros((num_nodes * (num_nodes + 3) // 2, 10)), np.zeros((num_nodes, 9)), np.zeros(num_nodes)


def test_ties_go_to_the_lower_index():
    cell = discretise(*logits(4), kept_nodes=3)
    first, second, third = cell.nodes
    assert cell.kept == (0, 1, 2)
    assert first == NodeChoice(0, (0, 1), ("skip", "skip"), "sum")
    assert second == NodeChoice(1, (0, 1), ("skip", "skip"), "sum")
    assert third == NodeChoice(2, (0, 1), ("skip", "skip"), "sum")
    assert cell.importance == (0.25,) * 4


def test_strongest_edges_operations_and_fusions_are_chosen():
    gamma, beta, importance = logits(3)
    # Node 2 has the rows 5 to 8. Its predecessor 3 (node 1) is the strongest, then the predecessor 1; they are
    # passed by index all the same.
    gamma[8, EDGE_OPERATIONS.index("linear_elu")] = 3.0
    gamma[6, EDGE_OPERATIONS.index("avg_pool_3x3")] = 2.0
    beta[2, NODE_OPERATIONS.index("mamba_fusion")] = 0.1
    cell = discretise(gamma, beta, importance, kept_nodes=3)
    assert cell.nodes[2] == NodeChoice(2, (1, 3), ("avg_pool_3x3", "linear_elu"), "mamba_fusion")


def test_more_predecessors_are_kept_where_there_are_more():
    gamma, beta, importance = logits(3)
    # Node 2 has the rows 5 to 8; its predecessor 1 is the weakest, all else being tied but for 3, the strongest.
    gamma[6, EDGE_OPERATIONS.index("none")] = 2.0
    gamma[8, EDGE_OPERATIONS.index("linear_elu")] = 3.0
    cell = discretise(gamma, beta, importance, kept_nodes=3, kept_edges=3)
    assert [node.predecessors for node in cell.nodes] == [(0, 1), (0, 1, 2), (0, 2, 3)]
    assert cell.nodes[2].edges == ("skip", "skip", "linear_elu")
    for kept_edges in (1, 5):
        with pytest.raises(ValueError, match="`kept_edges` must be from 2 to 4"):
            discretise(gamma, beta, importance, kept_edges=kept_edges)


def test_an_edge_that_is_mostly_none_ranks_low_and_none_is_never_chosen():
    gamma, beta, importance = logits(2)
    # The logit of `sep_conv_3x3` is the largest of the node's, but most of that edge's probability is `none`'s.
    gamma[2, EDGE_OPERATIONS.index("sep_conv_3x3")] = 5.0
    gamma[2, EDGE_OPERATIONS.index("none")] = 9.0
    gamma[3, EDGE_OPERATIONS.index("skip")] = 1.0
    gamma[4, EDGE_OPERATIONS.index("skip")] = 1.0
    cell = discretise(gamma, beta, importance, kept_nodes=2)
    assert cell.nodes[1].predecessors == (1, 2)
    gamma[:, EDGE_OPERATIONS.index("none")] = 1000.0
    cell = discretise(gamma, beta, importance, kept_nodes=2)
    assert all(edge != "none" for node in cell.nodes for edge in node.edges)


def test_a_dropped_node_stays_if_read_and_goes_if_not():
    gamma, beta, importance = logits(4)
    skip = EDGE_OPERATIONS.index("skip")
    # Node 3 (rows 9 to 13) reads the input 0 and node 2; node 2 (rows 5 to 8) reads the input 1 and node 0.
    gamma[[9, 13, 6, 7], skip] = 4.0
    importance[:] = [0.0, 0.1, -0.5, 2.0]
    cell = discretise(gamma, beta, importance, kept_nodes=1)
    assert cell.kept == (3,)
    assert [node.index for node in cell.nodes] == [0, 2, 3]
    assert cell.nodes[1].predecessors == (1, 2)
    assert cell.importance == pytest.approx(np.exp(importance) / np.exp(importance).sum())
    cell = discretise(gamma, beta, importance, kept_nodes=2)
    assert cell.kept == (1, 3)
    assert [node.index for node in cell.nodes] == [0, 1, 2, 3]


def test_all_dropped_nodes_stay_where_kept_ones_read_them():
    gamma, beta, importance = logits(4)
    skip = EDGE_OPERATIONS.index("skip")
    # Every node reads the two sources before it: node 3 (rows 9 to 13) reads the nodes 1 and 2, and so on.
    for first_edge, index in ((2, 1), (5, 2), (9, 3)):
        gamma[[first_edge + index, first_edge + index + 1], skip] = 4.0
    importance[3] = 1.0
    cell = discretise(gamma, beta, importance, kept_nodes=1)
    assert cell.kept == (3,)
    assert [node.predecessors for node in cell.nodes] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert discretise(gamma, beta, importance, kept_nodes=4).kept == (0, 1, 2, 3)


def test_one_node_and_extreme_logits():
    gamma, beta, importance = logits(1)
    gamma[0, 4] = 1e4
    gamma[1] = -np.inf
    gamma[1, 5] = -1e4
    cell = discretise(gamma, beta, importance, kept_nodes=1)
    assert cell.nodes[0].edges == ("sep_conv_3x3", "dil_conv_3x3")
    gamma, beta, importance = logits(3)
    importance[:] = [0.0, 2000.0, 1000.0]
    # Both shares of the others round to 0; the rank is that of the logits.
    assert discretise(gamma, beta, importance, kept_nodes=2).kept == (1, 2)


def test_wrong_arguments_are_refused():
    gamma, beta, importance = logits(2)
    with pytest.raises(ValueError, match=r"`gamma`.*\(5, 10\).*\(4, 10\)"):
        discretise(gamma[1:], beta, importance, kept_nodes=1)
    with pytest.raises(ValueError, match=r"`importance`.*\(2,\).*\(3,\)"):
        discretise(gamma, beta, np.zeros(3), kept_nodes=1)
    for kept_nodes in (0, 3):
        with pytest.raises(ValueError, match="from 1 to the 2 nodes"):
            discretise(gamma, beta, importance, kept_nodes=kept_nodes)
    gamma[0, 0] = np.nan
    with pytest.raises(ValueError, match="`gamma` holds NaN"):
        discretise(gamma, beta, importance, kept_nodes=1)


def test_fewer_kept_nodes_are_what_discretising_with_fewer_gives():
    generator = np.random.default_rng(3)
    for _ in range(200):
        nodes = int(generator.integers(1, 6))
        # Few different values, so that there are ties.
        logits = [
            generator.integers(0, 4, size=shape).astype("float64")
            for shape in ((nodes * (nodes + 3) // 2, 10), (nodes, 9), (nodes,))
        ]
        most = int(generator.integers(1, nodes + 1))
        whole = discretise(*logits, kept_nodes=most)
        for fewer in range(1, most + 1):
            assert whole.with_kept_nodes(fewer) == discretise(*logits, kept_nodes=fewer)
        with pytest.raises(ValueError, match="Search with a larger"):
            whole.with_kept_nodes(most + 1)
