"""Figures of the report, each a piece of SVG that stands inside the page."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.genotype.drawing import draw
from hfmnas_keras.genotype.probability_table import ProbabilityTable
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


def genotype_figure(genotype: BaseGenotype) -> str:
    """The drawn cells."""
    file = io.BytesIO()
    draw(genotype, file, format="svg")
    return _inline(file)


def candidates_figure(candidates: Sequence[Mapping[str, Any]]) -> str:
    """Dev loss and dev macro F1 of the candidates that were trained, the best one's in colour.

    Args:
        candidates: those of a `SearchResult`.
    """
    most = max(candidate["epochs"] for candidate in candidates)
    best = min((c for c in candidates if c["epochs"] == most), key=lambda c: (c["score"], c["number"]))
    figure, all_axes = _row_of_axes(2)
    for axes, key, title in zip(all_axes, ("dev_loss", "dev_macro_f1"), ("Dev loss", "Dev macro F1"), strict=True):
        for candidate in [*(c for c in candidates if c is not best), best]:
            colour, label = (_BLUE, f"candidate {best['number']}") if candidate is best else (_GREY, "")
            history = candidate["history"]
            _line(axes, [epoch["epoch"] for epoch in history], [epoch[key] for epoch in history], colour, label)
        axes.set_title(title)
    return _finish(figure, all_axes)


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


def probabilities_figure(probabilities: Mapping[str, Sequence[Sequence[float]]], genotype: BaseGenotype) -> str:
    """Softmax of gamma and beta of all cells as heat maps, a column of them a cell.

    Args:
        probabilities: arrays by label, `lfbc/gamma` and so on.
        genotype: genotype that was chosen from them.
    """
    tables = genotype.probability_tables()
    cells = {cell.name: cell.short_title for cell in genotype.diagram()}
    kinds = list(dict.fromkeys(label.partition("/")[2] for label in tables))
    # The cells may differ in their number of rows.
    heights = [max(len(tables[label].rows) for label in _labels_of(kind, cells, tables)) for kind in kinds]
    with _style():
        figure = Figure(figsize=(5.5 * len(cells), 0.28 * sum(heights) + 1.0 * len(kinds)))
        all_axes = figure.subplots(len(kinds), len(cells), height_ratios=heights, squeeze=False)
        for row, kind in enumerate(kinds):
            # One scale for all cells of a kind, so that colours can be compared.
            top = max(np.max(probabilities[label]) for label in _labels_of(kind, cells, tables))
            for column, (cell, title) in enumerate(cells.items()):
                axes = all_axes[row][column]
                label = f"{cell}/{kind}"
                if label not in tables:
                    axes.axis("off")
                    continue
                table = tables[label]
                image = axes.imshow(np.asarray(probabilities[label]), cmap="Blues", vmin=0, vmax=top, aspect="auto")
                figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
                axes.set_yticks(range(len(table.rows)), table.rows, fontsize=7)
                axes.set_xticks(range(len(table.columns)), table.columns, rotation=40, ha="right", fontsize=7)
                axes.set_title(f"{title}: softmax of {kind}")
        figure.tight_layout()
        return _save(figure)


#: More classes are pooled in the confusion, and not drawn as bars; tables have them all.
MOST_CLASSES = 40


def class_figure(by_class: Mapping[str, Mapping[str, Mapping[str, float]]], outputs: Mapping[str, str]) -> str:
    """F1 of every class, fused and by each head; of more than `MOST_CLASSES`, of the worst ones fused.

    Args:
        by_class: output to class to metrics.
        outputs: title by output, in the order of the bars.
    """
    shown = [output for output in outputs if output in by_class]
    classes = list(by_class[shown[0]])
    title = ""
    if len(classes) > MOST_CLASSES:
        title = f"the {MOST_CLASSES} of {len(classes)} classes with the least F1"
        classes = sorted(classes, key=lambda name: by_class[shown[0]][name]["f1"])[:MOST_CLASSES]
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
        axes.set_title(title)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        figure.tight_layout()
        return _save(figure)


def confusion_figure(confusion: Sequence[Sequence[float]], class_names: Sequence[str]) -> str:
    """Counts of true class (rows) against predicted class (columns), coloured by share of the row.

    Of more than `MOST_CLASSES` those with the most errors are drawn, and the others as one.
    """
    counts, class_names = _pooled(np.asarray(confusion, "float64"), list(class_names))
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


def calibration_figure(bins: Sequence[Mapping[str, Any]]) -> str:
    """How often answers are right against how probable the model calls them; the larger a dot, the more there are.

    Args:
        bins: those of `components.evaluator.row_samples.calibration_of`.
    """
    with _style():
        figure = Figure(figsize=(4.6, 3.4))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":", label="as often as said")
        most = max(one["count"] for one in bins)
        said, true = ([one[name] for one in bins] for name in ("said", "true"))
        axes.plot(said, true, color=_BLUE, linewidth=1, label="the model")
        axes.scatter(said, true, s=[12 + 90 * one["count"] / most for one in bins], color=_BLUE)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.03)
        axes.set_xlabel("probability that the model gives")
        axes.set_ylabel("share that is true")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        figure.tight_layout()
        return _save(figure)


def _pooled(counts: np.ndarray, class_names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Adds up the classes with the fewest errors to one, the last."""
    if len(class_names) <= MOST_CLASSES:
        return counts, class_names
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    kept = np.sort(np.argsort(-errors, kind="stable")[: MOST_CLASSES - 1])
    group = np.full(len(class_names), len(kept))
    group[kept] = np.arange(len(kept))
    # (groups, classes)
    is_of = np.arange(len(kept) + 1)[:, np.newaxis] == group
    return is_of @ counts @ is_of.T, [
        *(class_names[number] for number in kept),
        f"{len(class_names) - len(kept)} others",
    ]


@contextlib.contextmanager
def _style() -> Iterator[None]:
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Text stays text in the SVG: a browser has the letters that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def _labels_of(kind: str, cells: Iterable[str], tables: Mapping[str, ProbabilityTable]) -> list[str]:
    return [f"{cell}/{kind}" for cell in cells if f"{cell}/{kind}" in tables]


def _row_of_axes(count: int) -> tuple[Figure, Any]:
    with _style():
        figure = Figure(figsize=(3.8 * count, 3.1))
        return figure, figure.subplots(1, count)


def _line(axes: Any, x: Sequence[float], y: Sequence[float], colour: str, label: str) -> None:
    axes.plot(x, y, color=colour, marker="o", markersize=3, label=label)


def _finish(figure: Figure, all_axes: Sequence[Any]) -> str:
    with _style():
        for axes in all_axes:
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            # Below: inside it would cover the curves.
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize=8)
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
