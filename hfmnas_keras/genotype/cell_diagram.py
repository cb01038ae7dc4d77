"""What is shown of a cell, whichever search space it was chosen from."""

from __future__ import annotations

import dataclasses

_MAX_CHARACTERS = 40


@dataclasses.dataclass(frozen=True)
class DiagramNode:
    """A box of a diagram: one operation on what stands at earlier places.

    Args:
        place: int. Its number in the cell; the inputs have 0 and 1.
        name: str. `"node 2"`.
        operation: str. How it fuses what it reads.
        sources: tuple of ints, the places that it reads.
        edges: tuple of str, the operation on the way from each source; `""` where a source is read as it is.
    """

    place: int
    name: str
    operation: str
    sources: tuple[int, ...]
    edges: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class CellDiagram:
    """A cell as the drawings and the text for people show it.

    Args:
        name: str. `"lfbc"`; the labels of its probabilities begin with it.
        title: str. `"LFBC: low features"`.
        summary: str. What the text adds to the title.
        inputs: pair of str, fit to be shown (`shown_name`).
        nodes: tuple of `DiagramNode`, by rising place.
        outputs: dict from the places that form the output to what is written on the way there: a node's share of the
            importance; `""` for nothing.
        remark: str. A last line of the text; `""` for none.
    """

    name: str
    title: str
    summary: str
    inputs: tuple[str, str]
    nodes: tuple[DiagramNode, ...]
    outputs: dict[int, str]
    remark: str = ""

    @property
    def short_title(self) -> str:
        """The title without what the cell reads: `"LFBC"`."""
        return self.title.partition(":")[0]

    @property
    def places(self) -> dict[int, str]:
        """Name of what stands at each place."""
        return {**dict(enumerate(self.inputs)), **{node.place: node.name for node in self.nodes}}


def shown_name(text: str) -> str:
    """A name from a file fit to be shown: it breaks out of no label, markup or terminal.

    Only letters, digits and `_-. ` are left in it, 40 characters at most.
    """
    return "".join(character for character in text[:_MAX_CHARACTERS] if character.isalnum() or character in "_-. ")
