"""What was chosen for one node of a cell."""

from __future__ import annotations

import dataclasses

from hfmnas_keras.operations import EDGE_OPERATION_LAYERS, NODE_OPERATION_LAYERS


@dataclasses.dataclass(frozen=True)
class NodeChoice:
    """One discretised node: its predecessors, the operation on each edge, and how they are fused (Eq. 10-12).

    Predecessors are numbered as in the cell: 0 and 1 are its inputs, `2 + i` is node `i`.

    Args:
        index: int. Number of the node in its cell, from 0.
        predecessors: tuple of two or more ints, rising, each below `2 + index`.
        edges: tuple of names from `EDGE_OPERATION_LAYERS` other than `"none"`, in the order of `predecessors`.
        fusion: name from `NODE_OPERATION_LAYERS`.

    Raises:
        ValueError: when an operation is unknown, or a predecessor is not one the node can read (a later node would
            make a cycle).
    """

    index: int
    predecessors: tuple[int, ...]
    edges: tuple[str, ...]
    fusion: str

    def __post_init__(self) -> None:
        if not _is_int(self.index) or self.index < 0:
            raise ValueError(f"A node's index must be an int from 0. Received: {self.index!r}.")
        label = f"node_{self.index}"
        if len(self.predecessors) < 2 or not all(_is_int(item) for item in self.predecessors):
            raise ValueError(f"{label} needs two or more predecessors, all ints. Received: {self.predecessors!r}.")
        places = tuple(self.predecessors)
        if list(places) != sorted(set(places)) or not 0 <= places[0] <= places[-1] < 2 + self.index:
            raise ValueError(
                f"{label} can read the predecessors 0 to {1 + self.index} (cell inputs 0 and 1, then earlier nodes), "
                f"different ones, rising. Received: {places}."
            )
        if len(self.edges) != len(places):
            raise ValueError(f"{label} needs one edge operation a predecessor. Received: {self.edges!r}.")
        for name in self.edges:
            if name == "none":
                raise ValueError(f"{label} has the edge operation 'none', which is never chosen: leave the edge out.")
        try:
            for name in self.edges:
                EDGE_OPERATION_LAYERS.check(name)
            NODE_OPERATION_LAYERS.check(self.fusion)
        except ValueError as error:
            raise ValueError(f"In {label}: {error}") from error
        object.__setattr__(self, "predecessors", places)
        object.__setattr__(self, "edges", tuple(self.edges))


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
