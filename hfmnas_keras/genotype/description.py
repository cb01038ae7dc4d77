"""A genotype in words, and what two of them differ in."""

from __future__ import annotations

import dataclasses
import json

from hfmnas_keras.genotype.cell_genotype import CellGenotype
from hfmnas_keras.genotype.cell_inputs import TITLES, cell_inputs
from hfmnas_keras.genotype.genotype import Genotype

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


def describe(genotype: Genotype) -> str:
    """The genotype as text for people: a line for each node, read like a formula.

    Example:
    >>> print(describe(Genotype.load("genotype.json")))
    LFBC: low features, 3 of 4 nodes in the output
      node 0 = mamba_fusion(dil_conv_3x3(text_low), sep_conv_3x3(image_low))    output, importance 0.24
    ...
    """
    lines = []
    for name, cell in genotype.cells.items():
        lines.append(f"{TITLES[name]}, {len(cell.kept)} of {cell.num_nodes} nodes in the output")
        lines.extend(_node_lines(cell, cell_inputs(genotype, name)))
    if genotype.metadata:
        lines.append("metadata")
        # Escaped, because a file may hold anything.
        lines.extend(f"  {json.dumps(key)[1:-1]}: {_shortened(value)}" for key, value in genotype.metadata.items())
    return "\n".join(lines) + "\n"


def differences(first: Genotype, second: Genotype, importance: bool = True) -> list[Difference]:
    """What two genotypes differ in, label by label; metadata, which say where they come from, are left out.

    Args:
        first, second: `Genotype`s.
        importance: bool. Whether the shares of importance are compared as well. Defaults to `True`.

    Returns:
        list of `Difference`, in the order of the first one's labels, then the second one's.
    """
    one, other = (_by_label(genotype, importance) for genotype in (first, second))
    return [
        Difference(label, one.get(label), other.get(label))
        for label in {**one, **other}
        if one.get(label) != other.get(label)
    ]


def _node_lines(cell: CellGenotype, inputs: tuple[str, str]) -> list[str]:
    formulas, roles = [], []
    for node in cell.nodes:
        arguments = ", ".join(
            f"{edge}({_source(predecessor, inputs)})"
            for predecessor, edge in zip(node.predecessors, node.edges, strict=True)
        )
        formulas.append(f"  node {node.index} = {node.fusion}({arguments})")
        readers = [f"node {reader.index}" for reader in cell.nodes if 2 + node.index in reader.predecessors]
        kept = [f"output, importance {cell.importance[node.index]:.2f}"] if node.index in cell.kept else []
        roles.append("; ".join(kept + ([f"read by {', '.join(readers)}"] if readers else [])))
    width = max(map(len, formulas))
    lines = [f"{formula:{width}}    {role}" for formula, role in zip(formulas, roles, strict=True)]
    pruned = sorted(set(range(cell.num_nodes)) - {node.index for node in cell.nodes})
    if pruned:
        lines.append(f"  pruned: {', '.join(f'node {index}' for index in pruned)}")
    return lines


def _source(predecessor: int, inputs: tuple[str, str]) -> str:
    return inputs[predecessor] if predecessor < 2 else f"node {predecessor - 2}"


def _shortened(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}... ({len(text):,} characters)"


def _by_label(genotype: Genotype, importance: bool) -> dict[str, str]:
    labels = {"num_nodes": str(genotype.num_nodes)}
    for name, cell in genotype.cells.items():
        labels.update((f"{name}/{label}", choice) for label, choice in cell.to_labels().items())
        labels[f"kept/{name}"] = ", ".join(map(str, cell.kept))
        if importance:
            labels.update(
                (f"importance/{name}/node_{index}", repr(share)) for index, share in enumerate(cell.importance)
            )
    return labels
