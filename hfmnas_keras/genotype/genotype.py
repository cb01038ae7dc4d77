"""The result of a search of HF-MNAS, as data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.genotype.cell_diagram import CellDiagram, DiagramNode, shown_name
from hfmnas_keras.genotype.cell_genotype import CellGenotype
from hfmnas_keras.genotype.json_text import check_keys, checked_mapping
from hfmnas_keras.genotype.probability_table import ProbabilityTable
from hfmnas_keras.operations import (
    EDGE_OPERATION_LAYERS,
    EDGE_OPERATIONS,
    NODE_OPERATION_LAYERS,
    NODE_OPERATIONS,
    checked_operations,
)

CELLS = ("lfbc", "hfbc")

#: What was searched, and where it is known by name.
_SEARCHED = {"edge_operations": EDGE_OPERATION_LAYERS, "node_operations": NODE_OPERATION_LAYERS}
_PAPERS = {"edge_operations": EDGE_OPERATIONS, "node_operations": NODE_OPERATIONS}
_TITLES = {"lfbc": "LFBC: low features", "hfbc": "HFBC: high features"}
_DEFAULT_TAPS = {"lfbc": ("text_low", "image_low"), "hfbc": ("text_high", "image_high")}


@dataclasses.dataclass(frozen=True)
class Genotype(BaseGenotype):
    """The fusion architecture that a search of HF-MNAS chose: a genotype is a mapping from labels to names.

    ```json
    {"version": 1, "model": "hf_mnas", "num_nodes": 4,
     "cells": {"lfbc/node_2/edge_0": "sep_conv_3x3", "lfbc/node_2/edge_3": "skip",
               "lfbc/node_2/fusion": "linear_glu", ...},
     "kept": {"lfbc": [0, 1, 2], "hfbc": [1, 2, 3]},
     "importance": {"lfbc/node_2": 0.31, ...},
     "metadata": {"seed": 0, ...}}
    ```

    `edge_3` comes from predecessor 3, that is from node 1 (0 and 1 are the cell's inputs). `importance` (the softmax
    of w over all nodes), `metadata` and `model` may be left out of a genotype written by hand. `edge_operations` and
    `node_operations` are there where others than the paper's were searched.

    Args:
        lfbc, hfbc: `CellGenotype`s of the low and of the high branch (method section 4).
        metadata: mapping of JSON-able values that say where the genotype comes from: seed, taps, date, ...
        edge_operations, node_operations: tuples of str. The operations that the search chose from, in the order of the
            columns of gamma and beta. Default to the paper's.

    Raises:
        ValueError: when the cells differ in their number of nodes or have operations that were not searched, or the
            metadata cannot be written as JSON.

    Example:
    >>> genotype = Genotype.load("genotype.json")
    >>> model = searched_model(genotype, feature_shapes, num_outputs=5, fusion=FusionSettings())
    """

    model: ClassVar[str] = "hf_mnas"
    _keys: ClassVar[frozenset[str]] = frozenset({"num_nodes", "cells", "kept", "importance", *_SEARCHED})
    _optional_keys: ClassVar[frozenset[str]] = frozenset({"importance", *_SEARCHED})

    lfbc: CellGenotype
    hfbc: CellGenotype
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)
    edge_operations: tuple[str, ...] = EDGE_OPERATIONS
    node_operations: tuple[str, ...] = NODE_OPERATIONS

    def __post_init__(self) -> None:
        for name in CELLS:
            if not isinstance(getattr(self, name), CellGenotype):
                raise ValueError(f"`{name}` must be a `CellGenotype`. Received: {getattr(self, name)!r}.")
        if self.lfbc.num_nodes != self.hfbc.num_nodes:
            raise ValueError(
                f"Both cells have the same number of nodes. Received: {self.lfbc.num_nodes} in the LFBC and "
                f"{self.hfbc.num_nodes} in the HFBC."
            )
        nodes = [node for cell in self.cells.values() for node in cell.nodes]
        chosen = {
            "edge_operations": {"none"}.union(*(node.edges for node in nodes)),
            "node_operations": {node.fusion for node in nodes},
        }
        for name, registry in _SEARCHED.items():
            object.__setattr__(self, name, checked_operations(name, getattr(self, name), registry))
            if missing := sorted(chosen[name] - set(getattr(self, name))):
                raise ValueError(f"The cells have {missing}, which are not among `{name}`: {getattr(self, name)}.")
        self._freeze_metadata()

    @property
    def num_nodes(self) -> int:
        return self.lfbc.num_nodes

    @property
    def cells(self) -> dict[str, CellGenotype]:
        """Both cells by name, `"lfbc"` first."""
        return {name: getattr(self, name) for name in CELLS}

    @property
    def size(self) -> str:
        return f"{self.num_nodes} nodes a cell"

    def diagram(self) -> tuple[CellDiagram, ...]:
        """Its cells as they are shown; their inputs are called as the metadata do, else text and image."""
        return tuple(self._diagram_of(name, cell) for name, cell in self.cells.items())

    def labels(self, importance: bool = True) -> dict[str, str]:
        """All that was chosen, by label; of the shares of importance, `importance/lfbc/node_2`, where wanted."""
        labels = {"model": self.model, "num_nodes": str(self.num_nodes)}
        for name, cell in self.cells.items():
            labels.update((f"{name}/{label}", choice) for label, choice in cell.to_labels().items())
            labels[f"kept/{name}"] = ", ".join(map(str, cell.kept))
            if importance:
                labels.update(
                    (f"importance/{name}/node_{index}", repr(share)) for index, share in enumerate(cell.importance)
                )
        return labels

    def probability_tables(self) -> dict[str, ProbabilityTable]:
        """Names for `lfbc/gamma`, `lfbc/beta`, and those of `hfbc`."""
        nodes = tuple(f"node {index}" for index in range(self.num_nodes))
        sources = ("input 0", "input 1", *nodes)
        edges = tuple(f"{source} → {node}" for i, node in enumerate(nodes) for source in sources[: 2 + i])
        tables = {}
        for name, cell in self.cells.items():
            chosen = tuple(
                node.index * (node.index + 3) // 2 + source for node in cell.nodes for source in node.predecessors
            )
            tables[f"{name}/gamma"] = ProbabilityTable(edges, self.edge_operations, chosen)
            kept = tuple(node.index for node in cell.nodes)
            tables[f"{name}/beta"] = ProbabilityTable(nodes, self.node_operations, kept)
        return tables

    def with_kept_nodes(self, kept_nodes: int) -> Genotype:
        """The same architecture with fewer nodes in each cell's output, see `CellGenotype.with_kept_nodes`."""
        cells: dict[str, Any] = {name: cell.with_kept_nodes(kept_nodes) for name, cell in self.cells.items()}
        return dataclasses.replace(self, **cells)

    def _diagram_of(self, name: str, cell: CellGenotype) -> CellDiagram:
        pruned = sorted(set(range(cell.num_nodes)) - {node.index for node in cell.nodes})
        return CellDiagram(
            name=name,
            title=_TITLES[name],
            summary=f"{len(cell.kept)} of {cell.num_nodes} nodes in the output",
            inputs=self._inputs_of(name),
            nodes=tuple(
                DiagramNode(2 + node.index, f"node {node.index}", node.fusion, node.predecessors, node.edges)
                for node in cell.nodes
            ),
            outputs={2 + index: f"{cell.importance[index]:.2f}" for index in cell.kept},
            remark=f"pruned: {', '.join(f'node {index}' for index in pruned)}" if pruned else "",
        )

    def _inputs_of(self, name: str) -> tuple[str, str]:
        taps = self.metadata.get(f"{name}_taps")
        if not (isinstance(taps, list) and len(taps) == 2 and all(isinstance(tap, str) for tap in taps)):
            return _DEFAULT_TAPS[name]
        return shown_name(taps[0]), shown_name(taps[1])

    def _content(self) -> dict[str, Any]:
        return {
            "num_nodes": self.num_nodes,
            "cells": {
                f"{name}/{label}": choice
                for name, cell in self.cells.items()
                for label, choice in cell.to_labels().items()
            },
            "kept": {name: list(cell.kept) for name, cell in self.cells.items()},
            "importance": {
                f"{name}/node_{index}": share
                for name, cell in self.cells.items()
                for index, share in enumerate(cell.importance)
            },
            **{name: list(names) for name in _SEARCHED if (names := getattr(self, name)) != _PAPERS[name]},
        }

    @classmethod
    def _from_content(cls, content: dict[str, Any], metadata: dict[str, Any]) -> Genotype:
        num_nodes = content["num_nodes"]
        labels: dict[str, dict[str, str]] = {name: {} for name in CELLS}
        for label, choice in checked_mapping("cells", content["cells"]).items():
            name, _, rest = label.partition("/")
            if name not in labels:
                raise ValueError(f"Labels begin with one of {', '.join(CELLS)}. Received: {label!r}.")
            labels[name][rest] = choice
        kept = checked_mapping("kept", content["kept"])
        check_keys("`kept`", kept, required=CELLS, allowed=CELLS)
        importance = _importance(content.get("importance"), num_nodes)
        cells: dict[str, Any] = {}
        for name in CELLS:
            if not isinstance(kept[name], list):
                raise ValueError(f"`kept` of {name} must be a list of node numbers. Received: {kept[name]!r}.")
            try:
                cells[name] = CellGenotype.from_labels(labels[name], num_nodes, tuple(kept[name]), importance[name])
            except ValueError as error:
                raise ValueError(f"In the genotype of the cell `{name}`: {error}") from error
        searched = {name: content[name] for name in _SEARCHED if name in content}
        return cls(**cells, metadata=metadata, **searched)


def _importance(value: Any, num_nodes: Any) -> dict[str, tuple[float, ...]]:
    if value is None:
        return dict.fromkeys(CELLS, ())
    if not isinstance(num_nodes, int) or not 1 <= num_nodes <= 64:
        raise ValueError(f"`num_nodes` must be an int from 1 to 64. Received: {num_nodes!r}.")
    value = checked_mapping("importance", value)
    labels = {name: [f"{name}/node_{index}" for index in range(num_nodes)] for name in CELLS}
    expected = {label for group in labels.values() for label in group}
    check_keys("`importance`", value, required=expected, allowed=expected)
    for label, share in value.items():
        if not isinstance(share, (int, float)) or isinstance(share, bool) or not math.isfinite(share):
            raise ValueError(f"The importance `{label}` must be a number. Received: {share!r}.")
    return {name: tuple(value[label] for label in group) for name, group in labels.items()}
