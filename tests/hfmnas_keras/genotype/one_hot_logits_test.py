import numpy as np
import pytest

from hfmnas_keras.genotype import CellGenotype, NodeChoice, discretise
from hfmnas_keras.genotype.one_hot_logits import one_hot_logits
from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS


def test_one_place_in_each_row_is_left():
    # Node 0 is pruned.
    cell = CellGenotype(2, (NodeChoice(1, (0, 1), ("linear_elu", "skip"), "concat_fc"),), kept=(1,))
    gamma, beta = one_hot_logits(cell)
    assert gamma.shape == (5, 10) and beta.shape == (2, 9)
    assert [EDGE_OPERATIONS[place] for place in gamma.argmax(axis=1)] == ["none", "none", "linear_elu", "skip", "none"]
    assert NODE_OPERATIONS[beta[1].argmax()] == "concat_fc"
    for logits in (gamma, beta):
        probabilities = np.exp(logits)
        assert ((probabilities == 0) | (probabilities == 1)).all()
        np.testing.assert_array_equal(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("seed", range(5))
def test_undoes_discretise(seed):
    generator = np.random.default_rng(seed)
    gamma, beta, importance = (generator.normal(size=shape) for shape in ((14, 10), (4, 9), 4))
    cell = discretise(gamma, beta, importance, kept_nodes=1 + seed % 4)
    assert discretise(*one_hot_logits(cell), importance, kept_nodes=1 + seed % 4) == cell
