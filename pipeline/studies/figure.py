"""A study as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO

import numpy as np


def draw_scores(scores: Mapping[str, Sequence[float]], title: str, file: IO[bytes]) -> None:
    """Draws a point a seed and a line at the mean, one row a variant, as PNG.

    Args:
        scores: macro F1 on test by variant.
        title: str.
        file: binary file to write to.

    Raises:
        ImportError: when matplotlib, the extra `plots`, is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("A drawing needs matplotlib: install the extra `plots`.") from error
    figure = Figure(figsize=(8, 1.2 + 0.35 * len(scores)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for position, values in enumerate(scores.values()):
        axes.plot(values, np.full(len(values), position), "o", color="tab:blue", alpha=0.6, markersize=5)
        if values:
            axes.plot([np.mean(values)] * 2, [position - 0.3, position + 0.3], color="black", linewidth=2)
    axes.set_yticks(range(len(scores)), list(scores))
    axes.invert_yaxis()
    axes.set_xlabel("macro F1 on test; a point a seed, a line at the mean")
    axes.set_title(title, fontsize="medium", wrap=True)
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(file, format="png", dpi=150)
