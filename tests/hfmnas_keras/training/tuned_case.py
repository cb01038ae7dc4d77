"""A genotype made by hand, and what a network of it is made of with one setting or another."""

from hfmnas_keras.attention.multi_head_fusion_attention import MultiHeadFusionAttention
from hfmnas_keras.cell.searched_cell import SearchedCell
from hfmnas_keras.genotype.cell_genotype import CellGenotype
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.genotype.node_choice import NodeChoice
from hfmnas_keras.settings.training import TrainingSettings
from tests.hfmnas_keras.network_settings import NetworkSettings

FUSION = NetworkSettings(
    channels=8, grid=(2, 2), num_nodes=3, kept_nodes=3, num_heads=2, correlation_dim=4, sequence_encoder=False
)
# All rows are one batch: the losses of the first epoch are those of the initial weights.
TRAINING = TrainingSettings(max_epochs=1, batch_size=64, unfreeze_backbones=False)
# Node 2 reads node 0, which is an attention.
NODES = (
    NodeChoice(0, (0, 1), ("skip", "skip"), "multi_head_attention"),
    NodeChoice(1, (0, 1), ("skip", "linear_tanh"), "sum"),
    NodeChoice(2, (1, 2), ("skip", "skip"), "sum"),
)
GENOTYPE = Genotype(
    lfbc=CellGenotype(3, NODES, kept=(0, 1, 2), importance=(0.5, 0.2, 0.3)),
    hfbc=CellGenotype(3, NODES, kept=(0, 1, 2), importance=(0.2, 0.3, 0.5)),
)
#: The networks by hand, as `parts_of` gives them: of a cell the nodes that are computed and the width of its output, a
#: kept node being 8 wide; of each attention the heads, those of node 0 in each cell and that of the mitigation.
OWN = {"cells": {"lfbc_cell_1": ("012", 24), "hfbc_cell_1": ("012", 24)}, "heads": [2, 2, 2]}
CHANGED = {
    # Node 0 of the high branch is not kept, but read.
    "space.kept_nodes": (1, {"cells": {"lfbc_cell_1": ("0", 8), "hfbc_cell_1": ("02", 8)}, "heads": [2, 2, 2]}),
    "final_model.num_cells": (
        2,
        {
            "cells": {f"{branch}_cell_{number}": ("012", 24) for branch in ("lfbc", "hfbc") for number in (1, 2)},
            "heads": [2] * 5,
        },
    ),
    "fusion.num_heads": (4, {**OWN, "heads": [4, 4, 4]}),
}
TOGETHER = {
    "cells": {
        f"{branch}_cell_{number}": cell
        for branch, cell in (("lfbc", ("0", 8)), ("hfbc", ("02", 8)))
        for number in (1, 2)
    },
    "heads": [4] * 5,
}


def own_value(name):
    """What a setting that can be tuned has here."""
    part, field = name.split(".")
    return getattr(getattr(FUSION, part), field)


def parts_of(network):
    """What a fusion network has of what can be tuned, told by its layers."""
    layers = list(network._flatten_layers())
    cells = {
        cell.name: ("".join(node.name.split("_")[1] for node in cell.nodes), cell.output.shape[-1])
        for cell in layers
        if isinstance(cell, SearchedCell)
    }
    heads = sorted(layer.num_heads for layer in layers if isinstance(layer, MultiHeadFusionAttention))
    return {"cells": cells, "heads": heads}
