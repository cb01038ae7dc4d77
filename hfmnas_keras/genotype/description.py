"""A genotype in words, and what two of them differ in."""

from __future__ import annotations

import dataclasses
import json

from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.genotype.cell_diagram import CellDiagram

_LONGEST_VALUE = 100


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing in which two genotypes differ.

    Args:
        label: str. The choice's label, or the path in the JSON text: `"kept/lfbc"`, `"importance/lfbc/node_2"`.
        first, second: str or None. What each of the two has there; `None` where it has nothing.
    """

    label: str
    first: str | None
    second: str | None


def describe(genotype: BaseGenotype) -> str:
    """The genotype as text for people: a line for each node, read like a formula.

    Example:
    >>> print(describe(load_genotype("genotype.json")))
    LFBC: low features, 3 of 4 nodes in the output
      node 0 = mamba_fusion(dil_conv_3x3(text_low), sep_conv_3x3(image_low))    output, importance 0.24
    ...
    """
    lines = []
    for cell in genotype.diagram():
        lines.append(f"{cell.title}, {cell.summary}")
        lines.extend(_node_lines(cell))
    if genotype.metadata:
        lines.append("metadata")
        # Escaped, because a file may hold anything.
        lines.extend(f"  {json.dumps(key)[1:-1]}: {_shortened(value)}" for key, value in genotype.metadata.items())
    return "\n".join(lines) + "\n"


def differences(first: BaseGenotype, second: BaseGenotype, importance: bool = True) -> list[Difference]:
    """What two genotypes differ in, label by label; metadata, which say where they come from, are left out.

    Args:
        first, second: genotypes, of one method or of two.
        importance: bool. Whether the shares of importance are compared as well. Defaults to `True`.

    Returns:
        list of `Difference`, in the order of the first one's labels, then the second one's.
    """
    one, other = (genotype.labels(importance) for genotype in (first, second))
    return [
        Difference(label, one.get(label), other.get(label))
        for label in {**one, **other}
        if one.get(label) != other.get(label)
    ]


def _node_lines(cell: CellDiagram) -> list[str]:
    formulas, roles = [], []
    for node in cell.nodes:
        sources = (cell.places[source] for source in node.sources)
        arguments = ", ".join(
            f"{edge}({source})" if edge else source for source, edge in zip(sources, node.edges, strict=True)
        )
        formulas.append(f"  {node.name} = {node.operation}({arguments})")
        readers = [reader.name for reader in cell.nodes if node.place in reader.sources]
        share = cell.outputs.get(node.place)
        kept = [] if share is None else [f"output, importance {share}" if share else "output"]
        roles.append("; ".join(kept + ([f"read by {', '.join(readers)}"] if readers else [])))
    width = max(map(len, formulas))
    lines = [f"{formula:{width}}    {role}" for formula, role in zip(formulas, roles, strict=True)]
    if cell.remark:
        lines.append(f"  {cell.remark}")
    return lines


def _shortened(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}... ({len(text):,} characters)"
