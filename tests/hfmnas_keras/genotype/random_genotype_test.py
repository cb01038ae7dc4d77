from __future__ import annotations

from collections import Counter

import numpy as np
import scipy.stats

from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.genotype.random_genotype import random_genotype
from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.space import SpaceSettings

SPACE = SpaceSettings(num_nodes=3, kept_nodes=3)


def test_all_choices_are_equally_likely_and_none_is_never_chosen():
    cells = [cell for seed in range(400) for cell in random_genotype(SPACE, FusionSettings(), seed).cells.values()]
    nodes = [node for cell in cells for node in cell.nodes]
    counts = {
        "edges": (Counter(edge for node in nodes for edge in node.edges), set(EDGE_OPERATIONS) - {"none"}),
        "fusions": (Counter(node.fusion for node in nodes), set(NODE_OPERATIONS)),
        # Node 1 has three predecessors, so three pairs.
        "pairs": (Counter(node.predecessors for node in nodes if node.index == 1), {(0, 1), (0, 2), (1, 2)}),
    }
    for counted, expected in counts.values():
        assert set(counted) == expected
        assert scipy.stats.chisquare(list(counted.values())).pvalue > 1e-3


def test_a_seed_is_a_genotype_as_the_settings_want_it():
    space, fusion = SpaceSettings(num_nodes=4, kept_nodes=2, kept_edges=3), FusionSettings(lfbc_taps=("image_low",) * 2)
    genotype = random_genotype(space, fusion, 7)
    assert genotype == random_genotype(space, fusion, 7) != random_genotype(space, fusion, 8)
    assert all(len(cell.kept) == 2 for cell in genotype.cells.values())
    assert {len(node.edges) for cell in genotype.cells.values() for node in cell.nodes} <= {2, 3}
    assert genotype.metadata["lfbc_taps"] == ["image_low", "image_low"]
    assert Genotype.from_json(genotype.to_json()) == genotype
    spared = SpaceSettings(
        edge_operations=("none", "linear_relu", "sep_conv_3x3"), node_operations=("concat_fc", "linear_glu")
    )
    nodes = [
        node
        for draw in range(30)
        for cell in random_genotype(spared, fusion, draw).cells.values()
        for node in cell.nodes
    ]
    assert all("skip" not in node.edges and node.fusion != "sum" for node in nodes)
    assert np.isclose(sum(genotype.lfbc.importance), 1.0)
