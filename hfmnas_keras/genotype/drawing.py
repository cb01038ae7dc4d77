"""Pictures of a genotype: Mermaid and DOT as text, PNG and SVG by matplotlib."""

from __future__ import annotations

import os
import pathlib
from typing import IO, Any

from hfmnas_keras.genotype.cell_genotype import CellGenotype
from hfmnas_keras.genotype.genotype import Genotype

TITLES = {"lfbc": "LFBC: low features", "hfbc": "HFBC: high features"}
DEFAULT_TAPS = {"lfbc": ("text_low", "image_low"), "hfbc": ("text_high", "image_high")}

_INK = "#1f2933"
_MUTED = "#7b8794"
_FILLS = {"input": "#e4e7eb", "kept": "#d5e8f7", "read": "#ffffff", "output": "#1f5f8b"}
# One colour a predecessor's edges would be a rainbow; one a family of operations can be read.
_EDGE_COLOURS = {"skip": "#7b8794", "pool": "#b7791f", "conv": "#1f5f8b", "linear": "#2f855a"}
_EDGE_FAMILIES = {"skip": "skip", "pool": "pool", "conv": "convolution", "linear": "linear"}


def to_mermaid(genotype: Genotype) -> str:
    """The genotype as a Mermaid flow chart, which GitHub draws inside Markdown."""
    lines = ["flowchart LR"]
    for name, cell in genotype.cells.items():
        lines.append(f'  subgraph {name}["{TITLES[name]}"]')
        lines.extend(f'    {name}_{index}(["{_safe(tap)}"])' for index, tap in enumerate(_taps(genotype, name)))
        lines.extend(f'    {name}_{2 + node.index}["node {node.index}<br/>{node.fusion}"]' for node in cell.nodes)
        lines.append(f'    {name}_out(["output"])')
        for node in cell.nodes:
            for predecessor, edge in zip(node.predecessors, node.edges, strict=True):
                lines.append(f"    {name}_{predecessor} -->|{edge}| {name}_{2 + node.index}")
        for index in cell.kept:
            lines.append(f'    {name}_{2 + index} ==>|"{cell.importance[index]:.2f}"| {name}_out')
        lines.append("  end")
    return "\n".join(lines) + "\n"


def to_dot(genotype: Genotype) -> str:
    """The genotype in the DOT language of Graphviz."""
    lines = ["digraph genotype {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="Helvetica"];']
    lines.append('  edge [fontname="Helvetica", fontsize=10];')
    for name, cell in genotype.cells.items():
        lines.append(f"  subgraph cluster_{name} {{")
        lines.append(f'    label="{TITLES[name]}";')
        for index, tap in enumerate(_taps(genotype, name)):
            lines.append(f'    {name}_{index} [label="{_safe(tap)}", shape=oval];')
        for node in cell.nodes:
            lines.append(f'    {name}_{2 + node.index} [label="node {node.index}\\n{node.fusion}"];')
        lines.append(f'    {name}_out [label="output", shape=oval];')
        for node in cell.nodes:
            for predecessor, edge in zip(node.predecessors, node.edges, strict=True):
                lines.append(f'    {name}_{predecessor} -> {name}_{2 + node.index} [label="{edge}"];')
        for index in cell.kept:
            lines.append(f'    {name}_{2 + index} -> {name}_out [label="{cell.importance[index]:.2f}", style=bold];')
        lines.append("  }")
    lines.append("}")
    return "\n".join(lines) + "\n"


def draw(genotype: Genotype, path_or_file: str | os.PathLike | IO[bytes], format: str | None = None) -> None:
    """Draws both cells side by side.

    Nodes that form the output are blue, those that only a later node reads are white, pruned ones are not drawn.
    An edge's colour tells the family of its operation; the number on the way to the output is the node's share of
    the importance.

    Args:
        genotype: `Genotype`.
        path_or_file: path, or binary file to write to.
        format: `"png"` or `"svg"`. Defaults to the path's suffix, `"png"` for a file.

    Raises:
        ValueError: when the format is another one.
        ImportError: when matplotlib is not installed.
    """
    if format is None:
        is_path = isinstance(path_or_file, (str, os.PathLike))
        format = pathlib.Path(path_or_file).suffix.lstrip(".").lower() if is_path else "png"  # type: ignore[arg-type]
    if format not in ("png", "svg"):
        raise ValueError(f"A genotype is drawn as `png` or `svg`. Received: {format!r}.")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Drawing needs matplotlib: install the extra `plots` (`pip install .[plots]`).") from error
    # A fixed salt and no date: the same genotype gives the same file. Text stays text in an SVG.
    style = {"svg.fonttype": "none", "svg.hashsalt": "genotype", "font.family": "DejaVu Sans"}
    with matplotlib.rc_context(style):
        layouts = {name: _Layout(cell) for name, cell in genotype.cells.items()}
        height = max(layout.height for layout in layouts.values())
        widths = [layout.width for layout in layouts.values()]
        figure = Figure(figsize=(0.92 * sum(widths) + 0.4, 0.92 * height + 1.0), facecolor="white")
        all_axes = figure.subplots(1, len(layouts), width_ratios=widths)
        figure.subplots_adjust(left=0.01, right=0.99, top=0.93, bottom=0.02, wspace=0.03)
        for axes, (name, cell) in zip(all_axes, genotype.cells.items(), strict=True):
            _draw_cell(axes, cell, layouts[name], height, TITLES[name], _taps(genotype, name))
        _draw_key(figure, genotype)
        metadata = {"Date": None} if format == "svg" else {}
        figure.savefig(path_or_file, format=format, dpi=130, metadata=metadata)


class _Layout:
    """Where everything stands: columns by the longest way from the inputs, rows by the mean of the predecessors."""

    column_width = 3.0
    row_height = 1.55

    def __init__(self, cell: CellGenotype):
        column = {0: 0, 1: 0}
        for node in cell.nodes:
            column[2 + node.index] = 1 + max(column[predecessor] for predecessor in node.predecessors)
        self.num_columns = max(column.values())
        members: dict[int, list[int]] = {}
        for place, number in column.items():
            members.setdefault(number, []).append(place)
        rows = max(3, max(len(places) for places in members.values()))
        self.width = self.column_width * (self.num_columns + 1) + 0.6
        self.height = self.row_height * (rows + 0.6)
        self.position: dict[int, tuple[float, float]] = {}
        for number in sorted(members):
            places = members[number]
            step = self.height / (len(places) + 1)
            for order, place in enumerate(places):
                # Every second column is lifted a little, so that an edge over it does not run through its boxes.
                lift = 0.28 * (-1) ** number if len(places) % 2 else 0.0
                self.position[place] = (0.9 + number * self.column_width, self.height - step * (order + 1) + lift)
        self.output = (0.9 + (self.num_columns + 1) * self.column_width - 0.9, self.height / 2)


def _draw_cell(axes: Any, cell: CellGenotype, layout: _Layout, height: float, title: str, taps: tuple) -> None:
    pass


def _draw_key(figure: Any, genotype: Genotype) -> None:
    pass


def _taps(genotype: Genotype, name: str) -> tuple[str, str]:
    """Names of a cell's two inputs, from the metadata where it has them."""
    taps = genotype.metadata.get(f"{name}_taps")
    if isinstance(taps, list) and len(taps) == 2 and all(isinstance(tap, str) for tap in taps):
        return taps[0], taps[1]
    return DEFAULT_TAPS[name]


def _safe(text: str) -> str:
    """Text for a label between double quotes."""
    return "".join(character for character in text if character.isalnum() or character in "_-. ")
