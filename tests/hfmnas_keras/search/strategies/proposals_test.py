import collections

import numpy as np
import pytest

from hfmnas_keras.genotype.random_genotype import random_genotype
from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS
from hfmnas_keras.search.strategies.proposals import drawn_genotype, neighbour, proposal
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.space import SpaceSettings

SPACE, FUSION = SpaceSettings(), FusionSettings()


def probabilities_of_one_node():
    """A cell of one node, whose operations are drawn with probabilities that one can count."""
    gamma = np.full((2, len(EDGE_OPERATIONS)), 0.0)
    gamma[:, 1] = [0.8, 0.2]
    gamma[:, 4] = [0.2, 0.8]
    beta = np.zeros((1, len(NODE_OPERATIONS)))
    beta[0, [0, 7]] = [0.3, 0.7]
    tables = {"gamma": gamma, "beta": beta, "importance": np.ones(1)}
    return {f"{cell}/{table}": values for cell in ("lfbc", "hfbc") for table, values in tables.items()}


def test_operations_are_drawn_with_their_probabilities():
    space = SpaceSettings(num_nodes=1, kept_nodes=1)
    like = random_genotype(space, FUSION, 0)
    generator = np.random.default_rng(0)
    count = 2000
    drawn = [drawn_genotype(probabilities_of_one_node(), space, like, generator).lfbc.nodes[0] for _ in range(count)]
    edges = collections.Counter(node.edges for node in drawn)
    fusions = collections.Counter(node.fusion for node in drawn)
    assert set(fusions) == {"sum", "concat_fc"}
    # Four standard deviations of a mean of 2,000 draws.
    bound = 4 * 0.5 / np.sqrt(count)
    assert fusions["concat_fc"] / count == pytest.approx(0.7, abs=bound)
    assert edges[("skip", "sep_conv_3x3")] / count == pytest.approx(0.64, abs=bound)
    assert edges[("sep_conv_3x3", "skip")] / count == pytest.approx(0.04, abs=bound)


def test_neighbours_differ_in_one_choice_and_reach_all_kinds():
    genotype = random_genotype(SPACE, FUSION, 3)
    generator = np.random.default_rng(1)
    kinds = collections.Counter()
    for _ in range(200):
        other = neighbour(genotype, SPACE, generator)
        cells = [name for name in ("lfbc", "hfbc") if other.cells[name] != genotype.cells[name]]
        assert len(cells) == 1
        mine, theirs = other.cells[cells[0]], genotype.cells[cells[0]]
        assert len(mine.kept) == SPACE.kept_nodes
        known = {node.index: node for node in theirs.nodes}
        different = [(node, known[node.index]) for node in mine.nodes if node.index in known]
        different = [(new, old) for new, old in different if new != old]
        if mine.kept != theirs.kept:
            kinds["kept"] += 1
            assert len(set(mine.kept) - set(theirs.kept)) == 1
            assert not different
            continue
        assert len(different) == 1
        new, old = different[0]
        if new.fusion != old.fusion:
            kinds["fusion"] += 1
            assert (new.predecessors, new.edges) == (old.predecessors, old.edges)
        elif new.predecessors != old.predecessors:
            kinds["source"] += 1
            assert len(set(new.predecessors) - set(old.predecessors)) == 1
        else:
            kinds["edge"] += 1
            assert sum(one != two for one, two in zip(new.edges, old.edges, strict=True)) == 1
    assert set(kinds) == {"kept", "fusion", "source", "edge"}


def test_proposals_follow_from_their_number():
    found = random_genotype(SPACE, FUSION, 9)
    uniform = {
        f"{cell}/{table}": np.ones(shape)
        for cell in ("lfbc", "hfbc")
        for table, shape in (("gamma", (14, 10)), ("beta", (4, 9)), ("importance", (4,)))
    }
    seeded = [proposal(number, SPACE, FUSION, 2, uniform, found) for number in range(6)]
    assert seeded[0] == found
    assert seeded == [proposal(number, SPACE, FUSION, 2, uniform, found) for number in range(6)]
    assert len({genotype.to_json() for genotype in seeded}) == 6
    even = [proposal(number, SPACE, FUSION, 2) for number in range(6)]
    assert len({genotype.to_json() for genotype in even}) == 6
    assert even[3] == seeded[3]
    # Another draw of the same number is another genotype, of the first one too.
    for arguments in ((SPACE, FUSION, 2), (SPACE, FUSION, 2, uniform, found)):
        again = [[proposal(number, *arguments, attempt=attempt) for number in (0, 3)] for attempt in range(3)]
        assert again[0] == [proposal(number, *arguments) for number in (0, 3)]
        assert len({genotype.to_json() for row in again for genotype in row}) == 6
