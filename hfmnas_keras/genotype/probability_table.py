"""What the rows and columns of an array of probabilities stand for."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ProbabilityTable:
    """Names for an array that a supernet's `probabilities` gives.

    Args:
        rows: tuple of str. One a choice: an edge, a node.
        columns: tuple of str. The operations that it is between.
        chosen: tuple of ints. The rows, of a gamma, whose edges are part of the genotype; of a beta they all are.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    chosen: tuple[int, ...]
