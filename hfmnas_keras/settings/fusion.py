"""Shape of the fusion network: the search space, the final model, the mitigation, BM-NAS."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hfmnas_keras.operations import EDGE_OPERATIONS, NODE_OPERATIONS
from hfmnas_keras.settings.backbones import CLIP_MODALITIES
from hfmnas_keras.settings.checks import require

NODE_INPUTS = ("pair", "split", "shared")
VECTOR_TO_GRID = ("project", "tile")
ATTENTION_VALUES = ("query", "key")
CORRELATION_NORMS = ("nuclear", "frobenius")
#: Cells of BM-NAS, and steps within each, at most: what a genotype's file may make a reader draw.
MOST_BM_CELLS = 16


@dataclasses.dataclass(frozen=True)
class FusionSettings:
    """Shape of the fusion network, searched or being searched (method sections 3-6).

    Args:
        channels: int. Channels C of every grid in the final model. Defaults to `192`.
        grid: pair of ints. Height and width of every grid. Defaults to `(4, 4)`.
        num_nodes: int. Intermediate nodes M of a cell. Defaults to `4`.
        kept_nodes: int. Nodes K that form a discretised cell's output (top-3 w). Defaults to `3`.
        kept_edges: int. Predecessors that a discretised node keeps (top-2 gamma), from 2 to M + 1; a node that has
            fewer keeps all. Of more than two, x1 and x2 are means over the pairs. Defaults to `2`.
        num_cells: int. Cells stacked in a branch of the final model; the search always uses one. Defaults to `1`.
        node_inputs: str. How predecessors become two inputs while searching: `"pair"` (default), `"split"`, `"shared"`.
        vector_to_grid: str. `"project"` (default: Dense and reshape) or `"tile"` (as BM-NAS).
        lfbc_taps, hfbc_taps: pairs of feature names, the two inputs of the low and of the high cell (Fig. 10).
        num_heads: int. Heads of every multi-head attention. Defaults to `4`.
        attention_values: str. Whose values every multi-head attention reads, in the cells and in the inconsistency
            mitigation: `"query"` (default: those of the queries' input, as Eq. 14-15 print it) or `"key"` (ordinary
            cross-attention).
        dropout: float. Defaults to `0.1`.
        imm_attention: bool. Multi-head attention in the inconsistency mitigation (Eq. 28). Defaults to `True`.
        imm_correlation: bool. DCCA loss in the inconsistency mitigation (Eq. 26-27). Defaults to `True`.
        correlation_dim: int. Width d of the two correlated views. Defaults to `16`.
        correlation_weight: float. Lambda of the total loss. Defaults to `0.1`.
        correlation_norm: str. What the DCCA loss adds up: `"nuclear"` (default: the canonical correlations) or
            `"frobenius"` (their squares).
        sequence_encoder: bool. Bi-LSTM in the final model (section 6). Defaults to `True`.
        excluded_operations: names of operations, on edges or nodes, that HF-MNAS does not choose from (Table VIII).
            Defaults to none of them.
        bm_cells, bm_inner_steps: ints. Cells of BM-NAS and steps within each (section 11). Default to `2` and `1`.
        bm_mitigation: bool. Whether the two cells of BM-NAS meet in the inconsistency mitigation (Fig. 5), which has no
            place for more. Defaults to `False`.
    """

    channels: int = 192
    grid: tuple[int, int] = (4, 4)
    num_nodes: int = 4
    kept_nodes: int = 3
    kept_edges: int = 2
    num_cells: int = 1
    node_inputs: str = "pair"
    vector_to_grid: str = "project"
    lfbc_taps: tuple[str, str] = ("text_low", "image_low")
    hfbc_taps: tuple[str, str] = ("text_high", "image_high")
    num_heads: int = 4
    attention_values: str = "query"
    dropout: float = 0.1
    imm_attention: bool = True
    imm_correlation: bool = True
    correlation_dim: int = 16
    correlation_weight: float = 0.1
    correlation_norm: str = "nuclear"
    sequence_encoder: bool = True
    excluded_operations: tuple[str, ...] = ()
    bm_cells: int = 2
    bm_inner_steps: int = 1
    bm_mitigation: bool = False

    def __post_init__(self):
        require(self.num_heads >= 1, "num_heads", self.num_heads, "at least 1")
        require(len(self.grid) == 2 and min(self.grid) >= 1, "grid", self.grid, "two ints, each at least 1")
        require(self.correlation_dim >= 1, "correlation_dim", self.correlation_dim, "at least 1")
        require(self.correlation_weight >= 0, "correlation_weight", self.correlation_weight, "0 or more")
        require(
            self.channels > 0 and self.channels % self.num_heads == 0,
            "channels",
            self.channels,
            f"a positive multiple of num_heads={self.num_heads}",
        )
        require(self.node_inputs in NODE_INPUTS, "node_inputs", self.node_inputs, f"one of {NODE_INPUTS}")
        require(
            self.vector_to_grid in VECTOR_TO_GRID, "vector_to_grid", self.vector_to_grid, f"one of {VECTOR_TO_GRID}"
        )
        require(
            self.attention_values in ATTENTION_VALUES,
            "attention_values",
            self.attention_values,
            f"one of {ATTENTION_VALUES}",
        )
        require(
            self.correlation_norm in CORRELATION_NORMS,
            "correlation_norm",
            self.correlation_norm,
            f"one of {CORRELATION_NORMS}",
        )
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
        require(0 <= self.dropout < 1, "dropout", self.dropout, "in [0, 1)")
        require(self.num_cells >= 1, "num_cells", self.num_cells, "at least 1")
        for name in ("bm_cells", "bm_inner_steps"):
            value = getattr(self, name)
            require(1 <= value <= MOST_BM_CELLS, name, value, f"between 1 and {MOST_BM_CELLS}")
        if self.bm_mitigation:
            # Of more, nothing would read the first: the searched model's cells read features alone.
            require(self.bm_cells == 2, "bm_cells", self.bm_cells, "2 for `bm_mitigation`")
        excluded = set(self.excluded_operations)
        # `none` is never chosen, but the supernet needs it for the edges that are not.
        choices = [set(EDGE_OPERATIONS) - {"none"}, set(NODE_OPERATIONS)]
        require(
            excluded <= set().union(*choices) and all(operations - excluded for operations in choices),
            "excluded_operations",
            self.excluded_operations,
            f"some of {EDGE_OPERATIONS[1:]} and of {NODE_OPERATIONS}, leaving one of each",
        )


def fusion_defaults(modalities: Sequence[str]) -> dict[str, Any]:
    """Those of `FusionSettings` that follow from the two modalities: which features the cells read, and the grid.

    Where both are clips the grid is `(8, 1)`, time by space, of 128 channels (method, section 4).

    Example:
    >>> FusionSettings(dropout=0.2, **fusion_defaults(("skeleton", "video")))
    """
    defaults: dict[str, Any] = {
        "lfbc_taps": tuple(f"{modality}_low" for modality in modalities),
        "hfbc_taps": tuple(f"{modality}_high" for modality in modalities),
    }
    if set(modalities) <= set(CLIP_MODALITIES):
        defaults.update(grid=(8, 1), channels=128)
    return defaults
