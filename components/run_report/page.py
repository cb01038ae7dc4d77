"""The HTML page of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from components.run_report import figures
from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.genotype.description import describe
from hfmnas_keras.genotype.drawing import to_mermaid

_DOUBTS = {"conflict": "conflict", "uncertainty": "uncertainty", "probability": "1 - probability"}


def render_page(summary: Mapping[str, Any], genotype: BaseGenotype | None) -> str:
    """Renders the report of a run: one file without scripts or links to others.

    Args:
        summary: dict as in `summary.json`.
        genotype: genotype to draw, of any method; `None` where the model was not searched.

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
    return environment.get_template("page.html.jinja").render(
        **summary,
        drawings={name: Markup(drawing) for name, drawing in drawings.items()},
        doubt_titles=_DOUBTS,
        mermaid=genotype and to_mermaid(genotype),
        genotype_text=genotype and describe(genotype),
        output_titles={output: title for output, title in titles.items() if output in evaluation["overall"]},
    )
