"""Figures of the report, each a piece of SVG that stands inside the page."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hfmnas_keras.edge_operations import EDGE_OPERATIONS
from hfmnas_keras.genotype.drawing import draw
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.node_operations import NODE_OPERATIONS
from hfmnas_keras.search.drawing import draw_search

_BLUE, _ORANGE, _GREY = "#1f5f8b", "#c05621", "#7b8794"
_STYLE = {
    "svg.fonttype": "none",
    # The same run gives the same page.
    "svg.hashsalt": "report",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def genotype_figure(genotype: Genotype) -> str:
    """The drawn cells."""
    file = io.BytesIO()
    draw(genotype, file, format="svg")
    return _inline(file)


def search_figure(history: Sequence[Mapping[str, Any]]) -> str:
    """Losses, dev macro F1, and how far the choices have parted, along the search.

    Args:
        history: records of `search_architecture`, one an epoch.
    """
    file = io.BytesIO()
    draw_search(history, file, format="svg")
    return _inline(file)


def training_figure(history: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Loss and dev macro F1 of the final training.

    Args:
        history: `fit` and `retrain`, records of `train_fusion_network`.
    """
    figure, (losses, scores) = _row_of_axes(2)
    for part, colour in (("fit", _BLUE), ("retrain", _GREY)):
        records = history[part]
        _line(losses, [r["epoch"] for r in records], [r["loss"] for r in records], colour, f"{part}: train")
    fit = history["fit"]
    _line(losses, [r["epoch"] for r in fit], [r["dev_loss"] for r in fit], _ORANGE, "fit: dev")
    losses.set_title("Loss")
    _line(scores, [r["epoch"] for r in fit], [r["dev_macro_f1"] for r in fit], _ORANGE, "fit: dev")
    scores.set_title("Macro F1")
    return _finish(figure, (losses, scores))


def probabilities_figure(probabilities: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Softmax of gamma and beta of both cells as heat maps.

    Args:
        probabilities: `lfbc/gamma` (edges, operations), `lfbc/beta` (nodes, operations), and those of `hfbc`.
    """
    with _style():
        figure = Figure(figsize=(11, 7))
        num_edges = len(probabilities["lfbc/gamma"])
        num_nodes = len(probabilities["lfbc/beta"])
        all_axes = figure.subplots(2, 2, height_ratios=[num_edges, num_nodes])
        names = {"gamma": EDGE_OPERATIONS, "beta": NODE_OPERATIONS}
        for row, kind in enumerate(("gamma", "beta")):
            for column, cell in enumerate(("lfbc", "hfbc")):
                axes = all_axes[row][column]
                values = np.asarray(probabilities[f"{cell}/{kind}"])
                # One scale for both cells of a kind, so that colours can be compared.
                top = max(np.max(probabilities[f"{other}/{kind}"]) for other in ("lfbc", "hfbc"))
                image = axes.imshow(values, cmap="Blues", vmin=0, vmax=top, aspect="auto")
                figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
                labels = _edge_labels(num_nodes) if kind == "gamma" else [f"node {i}" for i in range(num_nodes)]
                axes.set_yticks(range(len(labels)), labels, fontsize=7)
                axes.set_xticks(range(len(names[kind])), names[kind], rotation=40, ha="right", fontsize=7)
                axes.set_title(f"{cell.upper()}: softmax of {kind}")
        figure.tight_layout()
        return _save(figure)


def class_figure(by_class: Mapping[str, Mapping[str, Mapping[str, float]]], outputs: Mapping[str, str]) -> str:
    """F1 of every class, fused and by each head.

    Args:
        by_class: output to class to metrics.
        outputs: title by output, in the order of the bars.
    """
    shown = [output for output in outputs if output in by_class]
    classes = list(by_class[shown[0]])
    with _style():
        figure = Figure(figsize=(9, 0.8 + 0.42 * len(classes)))
        axes = figure.subplots()
        places = np.arange(len(classes))
        height = 0.8 / len(shown)
        for number, (output, colour) in enumerate(zip(shown, (_BLUE, _ORANGE, _GREY), strict=False)):
            values = [by_class[output][name]["f1"] for name in classes]
            axes.barh(places + number * height, values, height * 0.9, color=colour, label=outputs[output])
        axes.set_yticks(places + 0.4 - height / 2, classes, parse_math=False)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("F1 on the test split")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        figure.tight_layout()
        return _save(figure)


def confusion_figure(confusion: Sequence[Sequence[float]], class_names: Sequence[str]) -> str:
    """Counts of true class (rows) against predicted class (columns), coloured by share of the row."""
    counts = np.asarray(confusion, "float64")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.8 + 0.5 * len(class_names)
    with _style():
        figure = Figure(figsize=(side + 1, side))
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(*counts.shape):
            if counts[row, column]:
                colour = "white" if shares[row, column] > 0.55 else "black"
                axes.text(column, row, f"{counts[row, column]:g}", ha="center", va="center", color=colour, fontsize=8)
        # Names of classes are the user's: a dollar sign in one is no mathematics.
        axes.set_xticks(range(len(class_names)), class_names, rotation=40, ha="right", parse_math=False)
        axes.set_yticks(range(len(class_names)), class_names, parse_math=False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        figure.tight_layout()
        return _save(figure)


def risk_coverage_figure(measured: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Error rate among the predictions that are kept, the surest first, for each score of doubt.

    Args:
        measured: `risk_coverage` of `read_evaluation`.
        titles: title by score.
    """
    with _style():
        figure = Figure(figsize=(6.5, 3.4))
        axes = figure.subplots()
        for (doubt, title), colour in zip(titles.items(), (_BLUE, _ORANGE, _GREY), strict=True):
            axes.plot(measured["coverage"], measured["by"][doubt]["risk"], color=colour, label=title)
        axes.axhline(measured["error_rate"], color="black", linewidth=0.8, linestyle=":", label="without an order")
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("coverage: share of the test split that is answered")
        axes.set_ylabel("risk: error rate of the answers")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        figure.tight_layout()
        return _save(figure)


@contextlib.contextmanager
def _style() -> Iterator[None]:
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Text stays text in the SVG: a browser has the letters that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def _edge_labels(num_nodes: int) -> list[str]:
    names = ["input 0", "input 1", *(f"node {index}" for index in range(num_nodes))]
    return [f"{names[source]} → node {node}" for node in range(num_nodes) for source in range(2 + node)]


def _row_of_axes(count: int) -> tuple[Figure, Any]:
    with _style():
        figure = Figure(figsize=(3.8 * count, 2.8))
        return figure, figure.subplots(1, count)


def _line(axes: Any, x: Sequence[float], y: Sequence[float], colour: str, label: str) -> None:
    axes.plot(x, y, color=colour, marker="o", markersize=3, label=label)


def _finish(figure: Figure, all_axes: Sequence[Any]) -> str:
    with _style():
        for axes in all_axes:
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False, fontsize=8)
        figure.tight_layout()
        return _save(figure)


def _save(figure: Figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return _inline(file)


def _inline(file: io.BytesIO) -> str:
    """Without the XML declaration, which has no place inside a page."""
    text = file.getvalue().decode("utf-8")
    return text[text.index("<svg") :]
