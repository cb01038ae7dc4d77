"""What was chosen for one cell."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

from hfmnas_keras.genotype.node_choice import NodeChoice

_MAX_NODES = 64
_LABEL = re.compile(r"node_(0|[1-9][0-9]{0,3})/(fusion|edge_(0|[1-9][0-9]{0,3}))")


@dataclasses.dataclass(frozen=True)
class CellGenotype:
    """A discretised cell: its nodes, which of them form the output, and how important each is (Eq. 12, 24-25).

    A node that is not kept is here only when a kept one reads it; the others are pruned.

    Args:
        num_nodes: int. Nodes M of the searched cell, pruned ones counted.
        nodes: tuple of `NodeChoice`, by rising index.
        kept: tuple of ints, by rising index. The nodes whose outputs are concatenated.
        importance: tuple of `num_nodes` floats, the softmax of w; they sum to 1. None given means all the same.

    Raises:
        ValueError: when the parts do not fit together, naming the node at fault.
    """

    num_nodes: int
    nodes: tuple[NodeChoice, ...]
    kept: tuple[int, ...]
    importance: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not _is_int(self.num_nodes) or not 1 <= self.num_nodes <= _MAX_NODES:
            raise ValueError(f"`num_nodes` must be an int from 1 to {_MAX_NODES}. Received: {self.num_nodes!r}.")
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "kept", tuple(self.kept))
        self._check_nodes()
        self._check_importance()

    @property
    def scales(self) -> tuple[float, ...]:
        """Factor `a_i = M * softmax(w)_i` of every node's output (Eq. 25); all 1 when no node stands out."""
        return tuple(self.num_nodes * share for share in self.importance)

    def with_kept_nodes(self, kept_nodes: int) -> CellGenotype:
        """The same cell with fewer nodes in its output: the most important ones, and those that they read (Eq. 24-25).

        It is what discretising with fewer kept nodes would have given; more are not to be had, as the choices of
        pruned nodes are not here.

        Args:
            kept_nodes: int. From 1 to as many as are kept now.

        Raises:
            ValueError: when there are not as many.
        """
        if not _is_int(kept_nodes) or not 1 <= kept_nodes <= len(self.kept):
            raise ValueError(
                f"`kept_nodes` must be from 1 to the {len(self.kept)} nodes that the cell keeps. "
                f"Received: {kept_nodes!r}. Search with a larger `kept_nodes`."
            )
        # A stable sort keeps the lower index first among equals, as discretising does.
        kept = sorted(sorted(self.kept, key=lambda index: -self.importance[index])[:kept_nodes])
        reachable = set(kept)
        for node in reversed(self.nodes):
            if node.index in reachable:
                reachable.update(predecessor - 2 for predecessor in node.predecessors if predecessor >= 2)
        nodes = tuple(node for node in self.nodes if node.index in reachable)
        return dataclasses.replace(self, nodes=nodes, kept=tuple(kept))

    def to_labels(self) -> dict[str, str]:
        """Every choice by its label; `"node_2/edge_3"` is the edge into node 2 from its predecessor 3."""
        labels = {}
        for node in self.nodes:
            for predecessor, edge in zip(node.predecessors, node.edges, strict=True):
                labels[f"node_{node.index}/edge_{predecessor}"] = edge
            labels[f"node_{node.index}/fusion"] = node.fusion
        return labels

    @classmethod
    def from_labels(
        cls,
        labels: Mapping[str, str],
        num_nodes: int,
        kept: tuple[int, ...],
        importance: tuple[float, ...] = (),
    ) -> CellGenotype:
        """Reads what `to_labels` writes.

        Raises:
            ValueError: when a label or a choice is not understood, or a node lacks its fusion or has under two edges.
        """
        edges: dict[int, dict[int, str]] = {}
        fusions: dict[int, str] = {}
        for label, name in labels.items():
            match = _LABEL.fullmatch(label) if isinstance(label, str) else None
            if match is None:
                raise ValueError(
                    f"A choice is labelled `node_I/edge_J` or `node_I/fusion`, I and J numbers. Received: {label!r}."
                )
            if not isinstance(name, str):
                raise ValueError(f"The choice `{label}` must name an operation. Received: {name!r}.")
            index = int(match[1])
            if match[2] == "fusion":
                fusions[index] = name
            else:
                edges.setdefault(index, {})[int(match[3])] = name
        nodes = []
        for index in sorted(edges.keys() | fusions.keys()):
            if index not in fusions:
                raise ValueError(f"node_{index} has edges but no choice labelled `node_{index}/fusion`.")
            chosen = sorted(edges.get(index, {}).items())
            if len(chosen) < 2:
                raise ValueError(
                    f"node_{index} needs two edges or more. Received: edges from the predecessors "
                    f"{[predecessor for predecessor, _ in chosen]}."
                )
            predecessors, names = zip(*chosen, strict=True)
            nodes.append(NodeChoice(index, predecessors, names, fusions[index]))
        return cls(num_nodes=num_nodes, nodes=tuple(nodes), kept=kept, importance=importance)

    def to_config(self) -> dict[str, Any]:
        """Plain JSON-able form, for a layer's `get_config`."""
        return {
            "num_nodes": self.num_nodes,
            "labels": self.to_labels(),
            "kept": list(self.kept),
            "importance": list(self.importance),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> CellGenotype:
        """Reads what `to_config` writes."""
        return cls.from_labels(
            config["labels"],
            num_nodes=config["num_nodes"],
            kept=tuple(config["kept"]),
            importance=tuple(config["importance"]),
        )

    def _check_nodes(self) -> None:
        indices = [node.index for node in self.nodes]
        if indices != sorted(set(indices)):
            raise ValueError(f"Nodes must come once each, by rising index. Received: {indices}.")
        if indices and indices[-1] >= self.num_nodes:
            raise ValueError(f"A cell of {self.num_nodes} nodes has no node_{indices[-1]}.")
        if not all(_is_int(index) for index in self.kept) or list(self.kept) != sorted(set(self.kept)):
            raise ValueError(f"`kept` must hold ints, once each, rising. Received: {list(self.kept)!r}.")
        if not self.kept:
            raise ValueError("`kept` must name at least one node, or the cell has no output.")
        for index in self.kept:
            if index not in indices:
                raise ValueError(f"node_{index} is kept but nothing is chosen for it.")
        read = set(self.kept)
        for node in reversed(self.nodes):
            if node.index not in read:
                raise ValueError(f"node_{node.index} is neither kept nor read by a later node: remove it.")
            for predecessor in node.predecessors:
                if predecessor >= 2 and predecessor - 2 not in indices:
                    raise ValueError(f"node_{node.index} reads node_{predecessor - 2}, for which nothing is chosen.")
                read.add(predecessor - 2)

    def _check_importance(self) -> None:
        importance = tuple(self.importance) or (1.0 / self.num_nodes,) * self.num_nodes
        if not all(_is_share(share) for share in importance):
            raise ValueError(f"Importances must be numbers from 0 to 1. Received: {importance!r}.")
        if len(importance) != self.num_nodes or abs(math.fsum(importance) - 1) > 1e-3:
            raise ValueError(
                f"Importances are a softmax over all {self.num_nodes} nodes: one each, with sum 1. "
                f"Received: {importance!r}."
            )
        object.__setattr__(self, "importance", tuple(float(share) for share in importance))


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
