"""Studies as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np

#: What is drawn of the costs, with the axis' words and what makes its unit.
_COSTS = (
    ("parameters", "parameters", 1.0),
    ("flops", "MFLOPs of an answer", 1e-6),
    ("latency_ms", "latency of an answer, ms", 1.0),
    ("whole_seconds", "search and training, s", 1.0),
)
_MARKERS = "osD^vPX*"


def draw_scores(rows: Sequence[Mapping[str, Any]], title: str, file: IO[bytes]) -> None:
    """Draws a point a seed and a line at the mean, one row a variant, as PNG.

    Args:
        rows: those of `StudyResults.rows`.
        title: str.
        file: binary file to write to.

    Raises:
        ImportError: when matplotlib, the extra `plots`, is not installed.
    """
    figure = _figure((8, 1.2 + 0.35 * len(rows)))
    axes = figure.add_subplot()
    for position, row in enumerate(rows):
        values = row["test_macro_f1"]
        axes.plot(values, np.full(len(values), position), "o", color="tab:blue", alpha=0.6, markersize=5)
        if values:
            axes.plot([np.mean(values)] * 2, [position - 0.3, position + 0.3], color="black", linewidth=2)
    axes.set_yticks(range(len(rows)), [row["variant"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("macro F1 on test; a point a seed, a line at the mean")
    axes.set_title(title, fontsize="medium", wrap=True)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(file, format="png", dpi=150)


def draw_costs(rows: Sequence[Mapping[str, Any]], title: str, file: IO[bytes]) -> None:
    """Draws each variant's mean score over what it costs, a panel a cost, as PNG. What is not known is left out.

    Args, raises: as `draw_scores`.
    """
    figure = _figure((11, 7))
    panels = figure.subplots(2, 2, sharey=True)
    for index, row in enumerate(rows):
        style = {"marker": _MARKERS[index % len(_MARKERS)], "color": f"C{index % 10}", "linestyle": "none"}
        for axes, (cost, _, scale) in zip(panels.flat, _COSTS, strict=True):
            values = _whole_seconds(row) if cost == "whole_seconds" else row[cost]
            known = [(value, score) for value, score in zip(values, row["test_macro_f1"], strict=True) if value]
            points = np.mean(known, axis=0)[:, None] * [[scale], [1.0]] if known else ([], [])
            axes.plot(*points, **style, label=row["variant"], markersize=8)
    for axes, (_, label, _) in zip(panels.flat, _COSTS, strict=True):
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    for axes in panels[:, 0]:
        axes.set_ylabel("macro F1 on test, mean")
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.suptitle(title, fontsize="medium", wrap=True)
    figure.savefig(file, format="png", dpi=150)


def _whole_seconds(row: Mapping[str, Any]) -> list[float]:
    return [
        (search or 0.0) + training
        for search, training in zip(row["search_seconds"], row["training_seconds"], strict=True)
    ]


def _figure(size: tuple[float, float]) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("A drawing needs matplotlib: install the extra `plots`.") from error
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
