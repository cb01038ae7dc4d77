"""Settings of the search spaces: what only the search reads, by model (docs/method.md, sections 4 and 11)."""

from __future__ import annotations

import dataclasses

from hfmnas_keras.operations import (
    EDGE_OPERATION_LAYERS,
    EDGE_OPERATIONS,
    NODE_OPERATION_LAYERS,
    NODE_OPERATIONS,
    checked_operations,
)
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
        edge_operations, node_operations: names of the operations to choose from, `"none"` among those of edges: of the
            paper's, or registered by another package. Default to the paper's ten and nine.
    """

    num_nodes: int = 4
    kept_nodes: int = 3
    kept_edges: int = 2
    node_inputs: str = "pair"
    edge_operations: tuple[str, ...] = EDGE_OPERATIONS
    node_operations: tuple[str, ...] = NODE_OPERATIONS

    def __post_init__(self) -> None:
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
        for name, registry in (("edge_operations", EDGE_OPERATION_LAYERS), ("node_operations", NODE_OPERATION_LAYERS)):
            object.__setattr__(self, name, checked_operations(name, getattr(self, name), registry))


@dataclasses.dataclass(frozen=True)
class BMSpaceSettings:
    """What BM-NAS chooses from (method section 11).

    Args:
        cells, inner_steps: ints. Cells, and steps within each. Default to `2` and `1`.
    """

    cells: int = 2
    inner_steps: int = 1

    def __post_init__(self) -> None:
        for name in ("cells", "inner_steps"):
            value = getattr(self, name)
            require(1 <= value <= MOST_BM_CELLS, name, value, f"between 1 and {MOST_BM_CELLS}")
