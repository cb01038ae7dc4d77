"""Pictures of a genotype: Mermaid and DOT as text, PNG and SVG by matplotlib."""

from __future__ import annotations

import os
import pathlib
from typing import IO, Any

from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.genotype.cell_diagram import CellDiagram

_INK = "#1f2933"
_MUTED = "#66727f"
_CELLS_A_ROW = 2
_FILLS = {"input": "#e4e7eb", "kept": "#d5e8f7", "read": "#ffffff", "output": "#1f5f8b"}
# One colour a family: nine colours could not be told apart.
_EDGE_COLOURS = {"skip": "#7b8794", "pool": "#b7791f", "conv": "#1f5f8b", "linear": "#2f855a"}
_EDGE_FAMILIES = {"skip": "skip", "pool": "pooling", "conv": "convolution", "linear": "linear"}


def to_mermaid(genotype: BaseGenotype) -> str:
    """The genotype as a Mermaid flow chart, which GitHub draws inside Markdown."""
    lines = ["flowchart LR"]
    for cell in genotype.diagram():
        lines.append(f'  subgraph {cell.name}["{cell.title}"]')
        lines.extend(f'    {cell.name}_{place}(["{name}"])' for place, name in enumerate(cell.inputs))
        lines.extend(f'    {cell.name}_{node.place}["{node.name}<br/>{node.operation}"]' for node in cell.nodes)
        lines.append(f'    {cell.name}_out(["output"])')
        for node in cell.nodes:
            for source, edge in zip(node.sources, node.edges, strict=True):
                arrow = f"-->|{edge}|" if edge else "-->"
                lines.append(f"    {cell.name}_{source} {arrow} {cell.name}_{node.place}")
        for place, label in cell.outputs.items():
            arrow = f'==>|"{label}"|' if label else "==>"
            lines.append(f"    {cell.name}_{place} {arrow} {cell.name}_out")
        lines.append("  end")
    return "\n".join(lines) + "\n"


def to_dot(genotype: BaseGenotype) -> str:
    """The genotype in the DOT language of Graphviz."""
    lines = ["digraph genotype {", "  rankdir=LR;", '  node [shape=box, style=rounded, fontname="Helvetica"];']
    lines.append('  edge [fontname="Helvetica", fontsize=10];')
    for cell in genotype.diagram():
        lines.append(f"  subgraph cluster_{cell.name} {{")
        lines.append(f'    label="{cell.title}";')
        for place, name in enumerate(cell.inputs):
            lines.append(f'    {cell.name}_{place} [label="{name}", shape=oval];')
        for node in cell.nodes:
            lines.append(f'    {cell.name}_{node.place} [label="{node.name}\\n{node.operation}"];')
        lines.append(f'    {cell.name}_out [label="output", shape=oval];')
        for node in cell.nodes:
            for source, edge in zip(node.sources, node.edges, strict=True):
                label = f' [label="{edge}"]' if edge else ""
                lines.append(f"    {cell.name}_{source} -> {cell.name}_{node.place}{label};")
        for place, share in cell.outputs.items():
            label = f'label="{share}", ' if share else ""
            lines.append(f"    {cell.name}_{place} -> {cell.name}_out [{label}style=bold];")
        lines.append("  }")
    lines.append("}")
    return "\n".join(lines) + "\n"


def draw(genotype: BaseGenotype, path_or_file: str | os.PathLike | IO[bytes], format: str | None = None) -> None:
    """Draws the cells, two side by side.

    Nodes that form the output are blue, those that only a later node reads are white, pruned ones are not drawn.
    An edge's colour tells the family of its operation; the number on the way to the output is the node's share of
    the importance.

    Args:
        genotype: genotype of any method.
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
        cells = genotype.diagram()
        layouts = [_Layout(cell) for cell in cells]
        height = max(layout.height for layout in layouts)
        rows = [range(first, min(first + _CELLS_A_ROW, len(cells))) for first in range(0, len(cells), _CELLS_A_ROW)]
        width = max(sum(layouts[number].width for number in row) for row in rows)
        has_key = any(any(node.edges) for cell in cells for node in cell.nodes)
        # Above each cell its title, below all of them the key.
        row_height, key_height = height + 1.0, 0.7 if has_key else 0.0
        full_height = len(rows) * row_height + key_height
        inches = 0.62
        figure = Figure(figsize=(inches * width, inches * full_height), facecolor="white")
        for row, numbers in enumerate(rows):
            bottom = 1 - (row + 1) * row_height / full_height
            left = 0.0
            for number in numbers:
                layout = layouts[number]
                axes = figure.add_axes((left, bottom, layout.width / width, row_height / full_height))
                left += layout.width / width
                axes.set_xlim(0, layout.width)
                axes.set_ylim(-height / 2, height / 2 + 1.0)
                axes.set_aspect("equal")
                axes.axis("off")
                title = cells[number].title
                axes.text(0.3, height / 2 + 0.5, title, fontsize=13, weight="bold", color=_INK, va="center")
                _CellDrawing(axes, cells[number], layout).draw()
        if has_key:
            _draw_key(figure)
        metadata = {"Date": None} if format == "svg" else None
        figure.savefig(path_or_file, format=format, dpi=150, metadata=metadata)


class _Layout:
    """Centres of all boxes: columns by the longest way from the inputs, evenly spread over the height."""

    box_width, box_height = 3.3, 1.0
    column_width = 5.4
    row_height = 2.0

    def __init__(self, cell: CellDiagram):
        column = {0: 0, 1: 0}
        for node in cell.nodes:
            column[node.place] = 1 + max(column[source] for source in node.sources)
        members: dict[int, list[int]] = {}
        for place, number in column.items():
            members.setdefault(number, []).append(place)
        self.height = self.row_height * max(2.6, 1.0 + max(len(places) for places in members.values()))
        self.centres: dict[int, tuple[float, float]] = {}
        for number, places in members.items():
            for order, place in enumerate(places):
                offset = (len(places) - 1) / 2 - order
                # Single boxes step up and down, so that a way past them stays free.
                lift = 0.45 * (-1) ** number if len(places) == 1 else 0.0
                self.centres[place] = (2.0 + number * self.column_width, offset * self.row_height * 1.25 + lift)
        self.output = (2.0 + (1 + max(members)) * self.column_width - 1.0, 0.0)
        self.width = self.output[0] + 1.4


class _CellDrawing:
    """Draws one cell; every curve and label takes the way on which it meets the fewest boxes and labels."""

    def __init__(self, axes: Any, cell: CellDiagram, layout: _Layout):
        self.axes = axes
        self.cell = cell
        self.layout = layout
        # Half widths and heights around centres, of all that should not be crossed.
        self.boxes = [(x, y, layout.box_width / 2, layout.box_height / 2) for x, y in layout.centres.values()]
        self.labels: list[tuple[float, float, float, float]] = []
        self.curves: list[list[tuple[float, float]]] = []

    def draw(self) -> None:
        centres, half = self.layout.centres, self.layout.box_width / 2
        for node in self.cell.nodes:
            arrivals = sorted(node.sources, key=lambda source: -centres[source][1])
            for source, edge in zip(node.sources, node.edges, strict=True):
                x, y = centres[node.place]
                # Evenly spread from top to bottom.
                port = y + 0.22 - 0.44 * arrivals.index(source) / (len(arrivals) - 1)
                start = (centres[source][0] + half, centres[source][1])
                self._connect(start, (x - half - 0.06, port), _colour(edge), edge, width=1.6)
        kept = sorted(self.cell.outputs, key=lambda place: -centres[place][1])
        for order, place in enumerate(kept):
            x, y = centres[place]
            port = self.layout.output[1] + 0.3 * ((len(kept) - 1) / 2 - order)
            self._connect(
                (x + half, y), (self.layout.output[0] - 1.06, port), _INK, self.cell.outputs[place], width=2.2
            )
        for place, name in enumerate(self.cell.inputs):
            self._box(centres[place], _FILLS["input"], name, round_corners=True)
        for node in self.cell.nodes:
            fill = _FILLS["kept" if node.place in self.cell.outputs else "read"]
            self._box(centres[node.place], fill, node.operation, caption=node.name)
        self._box(self.layout.output, _FILLS["output"], "output", colour="white", round_corners=True, width=2.0)

    def _box(
        self,
        centre: Any,
        fill: Any,
        text: Any,
        caption: str = "",
        colour: Any = _INK,
        round_corners: bool = False,
        width: Any = None,
    ) -> None:
        from matplotlib.patches import FancyBboxPatch

        width, height = width or self.layout.box_width, self.layout.box_height
        rounding = height / 2 - 0.02 if round_corners else 0.16
        corner = (centre[0] - width / 2, centre[1] - height / 2)
        style = f"round,pad=0,rounding_size={rounding}"
        edge_colour = fill if round_corners else _INK
        self.axes.add_patch(
            FancyBboxPatch(corner, width, height, boxstyle=style, fc=fill, ec=edge_colour, lw=1.2, zorder=3)
        )
        x, y = centre
        centred = {"ha": "center", "va": "center", "zorder": 5}
        self.axes.text(x, y + (0.13 if caption else 0), text, fontsize=9, weight="bold", color=colour, **centred)
        if caption:
            self.axes.text(x, y - 0.26, caption, fontsize=7.5, color=_MUTED, **centred)

    def _connect(self, start: Any, end: Any, colour: Any, label: Any, width: Any) -> None:
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path

        # A line to the next column has nothing to bow around.
        furthest = 6 if end[0] - start[0] > self.layout.column_width else 1
        bows = sorted((0.5 * step for step in range(-furthest, furthest + 1)), key=abs)
        curves = [_curve(start, end, bow) for bow in bows]
        # A bow costs a little, so that the straightest free way wins.
        costs = [self._crossings(curve) + 0.6 * abs(bow) for curve, bow in zip(curves, bows, strict=True)]
        best = costs.index(min(costs))
        self.curves.append(curves[best])
        path = Path(_controls(start, end, bows[best]), [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        self.axes.add_patch(
            FancyArrowPatch(path=path, arrowstyle="-|>", mutation_scale=11, color=colour, lw=width, zorder=2)
        )
        if not label:
            return
        half_width = 0.11 * len(label) + 0.1
        places = sorted(range(5, 20), key=lambda step: abs(step - 12))
        spots = [curves[best][step] for step in places]
        overlaps = [
            sum(_overlap((x, y, half_width, 0.24), other) for other in self.boxes + self.labels) + 0.02 * rank
            for rank, (x, y) in enumerate(spots)
        ]
        x, y = spots[overlaps.index(min(overlaps))]
        self.labels.append((x, y, half_width, 0.24))
        background = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"}
        self.axes.text(x, y, label, ha="center", va="center", fontsize=8, color=colour, bbox=background, zorder=4)

    def _crossings(self, curve: Any) -> float:
        """How badly a curve runs: its points in boxes, on labels, along earlier curves or out of the frame."""
        inner = curve[1:-1]
        in_boxes = sum(_overlap((x, y, 0.0, 0.25), box) > 0 for x, y in inner for box in self.boxes)
        on_labels = sum(_overlap((x, y, 0.0, 0.05), label) > 0 for x, y in inner for label in self.labels)
        near = sum(
            abs(y - other_y) < 0.3 and abs(x - other_x) < 0.3
            for x, y in curve[6:-6]
            for other in self.curves
            for other_x, other_y in other[6:-6]
        )
        outside = sum(abs(y) > self.layout.height / 2 - 0.3 for _, y in inner)
        return 3.0 * in_boxes + 0.5 * on_labels + 0.2 * near + 5.0 * outside


def _controls(start: Any, end: Any, bow: Any) -> Any:
    middle = 0.5 * (end[0] - start[0])
    return [start, (start[0] + middle, start[1] + bow), (end[0] - middle, end[1] + bow), end]


def _curve(start: Any, end: Any, bow: Any) -> Any:
    """25 points of the Bezier curve with flat ends, bowed up or down where something is in the way."""
    points = _controls(start, end, bow)
    curve = []
    for step in range(25):
        t = step / 24
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
        curve.append(
            tuple(sum(weight * point[axis] for weight, point in zip(weights, points, strict=True)) for axis in (0, 1))
        )
    return curve


def _overlap(one: Any, other: Any) -> float:
    """1 where two boxes (x, y, half width, half height) meet, else 0."""
    apart = abs(one[0] - other[0]) > one[2] + other[2] or abs(one[1] - other[1]) > one[3] + other[3]
    return 0.0 if apart else 1.0


def _colour(edge: str) -> str:
    return next((colour for family, colour in _EDGE_COLOURS.items() if family in edge), _MUTED)


def _draw_key(figure: Any) -> None:
    """One line below the cells."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=colour, lw=2, label=_EDGE_FAMILIES[family]) for family, colour in _EDGE_COLOURS.items()
    ]
    handles.append(Patch(fc=_FILLS["kept"], ec=_INK, label="node in the output, with its share of importance"))
    handles.append(Patch(fc=_FILLS["read"], ec=_INK, label="node that a later one reads"))
    figure.legend(
        handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=8.5, labelcolor=_MUTED
    )
