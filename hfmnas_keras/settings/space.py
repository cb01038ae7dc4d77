"""Settings of the search spaces: what only the search reads, by model (docs/method.md, sections 4 and 11)."""

from __future__ import annotations

import dataclasses

from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS
from hfmnas_keras.settings.checks import require

NODE_INPUTS = ("pair", "split", "shared")
#: Cells of BM-NAS, and steps within each, at most: what a genotype's file may make a reader draw.
MOST_BM_CELLS = 16


@dataclasses.dataclass(frozen=True)
class SpaceSettings:
    """What HF-MNAS chooses from (method section 4).

    Args:
        num_nodes: int. Intermediate nodes M of a cell. Defaults to `4`.
        kept_nodes: int. Nodes K that form a discretised cell's output (top-3 w). Defaults to `3`.
        kept_edges: int. Predecessors that a discretised node keeps (top-2 gamma), from 2 to M + 1; a node that has
            fewer keeps all. Of more than two, x1 and x2 are means over the pairs. Defaults to `2`.
        node_inputs: str. How predecessors become two inputs while searching: `"pair"` (default), `"split"`, `"shared"`.
        excluded_operations: names of operations, on edges or nodes, that are not chosen from (Table VIII). Defaults to
            none of them.
    """

    num_nodes: int = 4
    kept_nodes: int = 3
    kept_edges: int = 2
    node_inputs: str = "pair"
    excluded_operations: tuple[str, ...] = ()

    def __post_init__(self):
        require(self.node_inputs in NODE_INPUTS, "node_inputs", self.node_inputs, f"one of {NODE_INPUTS}")
        require(
            1 <= self.kept_nodes <= self.num_nodes,
            "kept_nodes",
            self.kept_nodes,
            f"between 1 and num_nodes={self.num_nodes}",
        )
        require(
            2 <= self.kept_edges <= self.num_nodes + 1,
            "kept_edges",
            self.kept_edges,
            f"between 2 and num_nodes + 1 = {self.num_nodes + 1}",
        )
        excluded = set(self.excluded_operations)
        # `none` is never chosen, but the supernet needs it for the edges that are not.
        choices = [set(EDGE_OPERATIONS) - {"none"}, set(NODE_OPERATIONS)]
        require(
            excluded <= set().union(*choices) and all(operations - excluded for operations in choices),
            "excluded_operations",
            self.excluded_operations,
            f"some of {EDGE_OPERATIONS[1:]} and of {NODE_OPERATIONS}, leaving one of each",
        )


@dataclasses.dataclass(frozen=True)
class BMSpaceSettings:
    """What BM-NAS chooses from (method section 11).

    Args:
        cells, inner_steps: ints. Cells, and steps within each. Default to `2` and `1`.
    """

    cells: int = 2
    inner_steps: int = 1

    def __post_init__(self):
        for name in ("cells", "inner_steps"):
            value = getattr(self, name)
            require(1 <= value <= MOST_BM_CELLS, name, value, f"between 1 and {MOST_BM_CELLS}")


#: Settings of the space by searched model.
SPACE_SETTINGS = {"hf_mnas": SpaceSettings, "bm_nas": BMSpaceSettings}
