"""The HTML page of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from components.run_report import figures
from components.run_report.advice import advice, confused_pairs
from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.genotype.description import describe
from hfmnas_keras.genotype.drawing import to_mermaid

_ROW_KINDS = {
    "wrong": "The errors that the model is surest of",
    "doubtful": "Is the label right, do picture and text belong together?",
    "right": "Right answers",
}
# Of clips a request has a frame at least.
_MAY_BE_ABSENT = ("text", "image")
_DOUBTS = {"conflict": "conflict", "uncertainty": "uncertainty", "probability": "1 - probability"}


def render_page(
    summary: Mapping[str, Any], genotype: BaseGenotype | None, samples: Mapping[str, Any] | None = None
) -> str:
    """Renders the report of a run: one file without scripts or links to others, for wide and for narrow screens.

    Args:
        summary: dict as in `summary.json`.
        genotype: genotype to draw, of any method; `None` where the model was not searched.
        samples: rows to show, as `components.evaluator.row_samples.read_samples` gives them; `None` (default): none.

    Returns:
        str. HTML.
    """
    evaluation = summary["evaluation"]
    heads = {f"{modality}_belief": f"{modality} head" for modality in summary["backbones"]["modalities"]}
    titles = {"probabilities": "fused", **heads}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("components.run_report", "."),
        # Names of classes and ids of rows come from the user's files.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawings = {
        "training": figures.training_figure(summary["training"]["history"]),
        "classes": figures.class_figure(evaluation["by_class"], titles),
    }
    if genotype is not None:
        drawings["genotype"] = figures.genotype_figure(genotype)
    if (search := summary["search"]) is not None and genotype is not None:
        drawings["search"] = (
            figures.candidates_figure(search["candidates"])
            if search["candidates"]
            else figures.search_figure(search["history"])
        )
        if search["probabilities"]:
            drawings["probabilities"] = figures.probabilities_figure(search["probabilities"], genotype)
    # In a multi-label set one label is not confused with another; the table of labels says it all.
    if not evaluation["multi_label"]:
        drawings["confusion"] = figures.confusion_figure(
            evaluation["confusion"]["probabilities"], evaluation["class_names"]
        )
    if evaluation["risk_coverage"] is not None:
        drawings["risk_coverage"] = figures.risk_coverage_figure(evaluation["risk_coverage"], _DOUBTS)
    calibration = None
    if samples is not None:
        drawings["calibration"] = figures.calibration_figure(samples["calibration"]["bins"])
        calibration = samples["calibration"]
    return environment.get_template("page.html.jinja").render(
        **summary,
        drawings={name: Markup(f'<div class="figure">{drawing}</div>') for name, drawing in drawings.items()},
        doubt_titles=_DOUBTS,
        mermaid=genotype and to_mermaid(genotype),
        genotype_text=genotype and describe(genotype),
        samples=samples,
        row_kinds=_ROW_KINDS,
        pairs=[] if evaluation["multi_label"] else confused_pairs(evaluation),
        advice=advice(summary, calibration),
        configuration_text=yaml.safe_dump(summary["configuration"], sort_keys=False, allow_unicode=True),
        without=_without(evaluation["overall"], list(summary["backbones"]["modalities"])),
        output_titles={output: title for output, title in titles.items() if output in evaluation["overall"]},
    )


def _without(overall: Mapping[str, Any], modalities: list[str]) -> dict[str, tuple[str, float | None]]:
    """By the modality that a request may lack, which other one answers, and its macro F1."""
    pairs = list(zip(modalities, reversed(modalities), strict=True))
    told = {one: (other, f"{other}_belief") for one, other in pairs if one != other and one in _MAY_BE_ABSENT}
    return {one: (other, overall[output]["f1_m"]) for one, (other, output) in told.items() if output in overall}
