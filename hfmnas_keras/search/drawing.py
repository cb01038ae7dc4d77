"""Curves of a search: PNG and SVG by matplotlib."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import IO, Any

_BLUE, _ORANGE, _GREEN, _GREY = "#1f5f8b", "#c05621", "#2f855a", "#7b8794"
_STYLE = {
    "svg.fonttype": "none",
    # The same history gives the same file.
    "svg.hashsalt": "search",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# Title of each picture, and its curves: key of the epoch's record, colour, label.
_PICTURES = {
    "Task loss": (
        ("train_loss", _BLUE, "train, weight steps"),
        ("dev_loss", _ORANGE, "dev, supernet"),
        ("discretised_dev_loss", _GREEN, "dev, discretised"),
    ),
    "Macro F1": (
        ("dev_macro_f1", _ORANGE, "dev, supernet"),
        ("discretised_dev_macro_f1", _GREEN, "dev, discretised"),
    ),
    "Indecision (1: uniform)": (
        ("gamma_entropy", _BLUE, "entropy of gamma"),
        ("beta_entropy", _ORANGE, "entropy of beta"),
        ("none_share", _GREY, "share of none"),
    ),
}


def draw_search(
    history: Sequence[Mapping[str, Any]], path_or_file: str | os.PathLike | IO[bytes], format: str | None = None
) -> None:
    """Draws losses, dev macro F1, and how far the choices have parted, epoch by epoch.

    Args:
        history: records of `search_architecture`, one an epoch; a curve leaves out epochs that have no value.
        path_or_file: path, or binary file to write to.
        format: `"png"` or `"svg"`. Defaults to the path's suffix, `"png"` for a file.

    Raises:
        ImportError: when matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Drawing needs matplotlib: install the extra `plots` (`pip install .[plots]`).") from error
    if format is None and isinstance(path_or_file, (str, os.PathLike)):
        format = pathlib.Path(path_or_file).suffix.lstrip(".").lower()
    format = format or "png"
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.8 * len(_PICTURES), 2.8))
        for axes, (title, curves) in zip(figure.subplots(1, len(_PICTURES)), _PICTURES.items(), strict=True):
            for key, colour, label in curves:
                points = [(record["epoch"], record[key]) for record in history if record.get(key) is not None]
                if points:
                    axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3, label=label)
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            if axes.lines:
                axes.legend(frameon=False, fontsize=8)
        figure.tight_layout()
        figure.savefig(path_or_file, format=format, dpi=150, metadata={"Date": None} if format == "svg" else None)
