"""What a person should know of a pushed model, in the fields of Google's model cards."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

#: Of the schema of Model Card Toolkit, whose fields these are.
SCHEMA_VERSION = "0.0.2"
#: What only a person can say of a model.
SAID = ("overview", "owner", "licence", "intended_use", "limitations")


def model_card(summary: Mapping[str, Any], said: Mapping[str, str], name: str, version: str) -> dict[str, Any]:
    """Returns a model card.

    Args:
        summary: dict as in `summary.json`.
        said: mapping from some of `SAID` to what a person says.
        name: str. Of the model.
        version: str. Of the pushed model.

    Returns:
        dict of `schema_version`, `model_details`, `model_parameters`, `quantitative_analysis` and `considerations`, as
        [Model Card Toolkit](https://github.com/tensorflow/model-card-toolkit) has them, but for what is not known.
    """
    ingest, evaluation, training = summary["ingest"], summary["evaluation"], summary["training"]
    modalities = list(summary["backbones"]["modalities"])
    details = {
        "name": name,
        "overview": said.get("overview"),
        "owners": [{"name": said["owner"]}] if said.get("owner") else None,
        "version": {"name": version},
        "licenses": [{"custom_text": said["licence"]}] if said.get("licence") else None,
        "path": summary["pushed"]["destination"],
    }
    rows = ", ".join(f"{split} {number}" for split, number in ingest["rows"].items())
    data = {
        "name": ingest["source"],
        "description": f"Rows: {rows}. Classes: {', '.join(ingest['classes'])}. Fingerprint: {ingest['fingerprint']}."
        + (f" {ingest['attribution']}" if ingest["attribution"] else ""),
    }
    parameters = {
        "model_architecture": f"{training['model']} on {' and '.join(modalities)}, {training['parameters']} parameters",
        "data": [data],
        "input_format": f"signatures `serve_json` ({', '.join(modalities)}) and `serving_default` (tf.Example)",
        "output_format": f"probabilities of {len(ingest['classes'])} classes, their uncertainty and conflict",
    }
    metrics = [
        {"type": metric, "value": str(value), "slice": "test"}
        for metric, value in evaluation["overall"]["probabilities"].items()
    ]
    metrics += [
        {"type": "f1", "value": str(scores["f1"]), "slice": f"test, class {label}"}
        for label, scores in evaluation["by_class"]["probabilities"].items()
    ]
    metrics += [
        {"type": f"f1_m of the {output} alone", "value": str(scores["f1_m"]), "slice": "test"}
        for output, scores in evaluation["overall"].items()
        if output != "probabilities"
    ]
    limitations = [said["limitations"]] if said.get("limitations") else []
    limitations += [f"{warning.removesuffix('.')}." for warning in ingest["warnings"]]
    considerations = {
        "use_cases": [{"description": said["intended_use"]}] if said.get("intended_use") else None,
        "limitations": [{"description": each} for each in limitations] or None,
    }
    card = {
        "schema_version": SCHEMA_VERSION,
        "model_details": _known(details),
        "model_parameters": parameters,
        "quantitative_analysis": {"performance_metrics": metrics},
        "considerations": _known(considerations),
    }
    return _known(card)


def card_text(card: Mapping[str, Any]) -> str:
    """Returns a model card as Markdown."""
    details, parameters = card["model_details"], card["model_parameters"]
    lines = [f"# {details['name']}, version {details['version']['name']}", ""]
    if "overview" in details:
        lines += [details["overview"], ""]
    lines += [f"Owner: {owner['name']}" for owner in details.get("owners", ())]
    lines += [f"Licence: {licence['custom_text']}" for licence in details.get("licenses", ())]
    lines += ["", "## Model", "", f"{parameters['model_architecture']}. Input: {parameters['input_format']}."]
    lines += [f"Output: {parameters['output_format']}.", "", "## Data", ""]
    lines += [f"{data['name']}: {data['description']}" for data in parameters["data"]]
    lines += ["", "## Measured", "", "| metric | on | value |", "| --- | --- | --- |"]
    lines += [
        f"| {metric['type']} | {_cell(metric['slice'])} | {metric['value'][:6]} |"
        for metric in card["quantitative_analysis"]["performance_metrics"]
    ]
    for title, key in (("Intended use", "use_cases"), ("Limitations", "limitations")):
        if key in card.get("considerations", {}):
            lines += ["", f"## {title}", "", *(f"- {each['description']}" for each in card["considerations"][key])]
    # Names of classes and warnings come from the user's files.
    return html.escape("\n".join(lines) + "\n", quote=False)


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, {})}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
