"""The work of RunReport: reads what the stages wrote and renders it."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import subprocess
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

import hfmnas_keras
from components.artifact_types.files import INGEST_FILE, SERVING_CHECK_FILE, TRAINING_FILE
from components.code_fingerprint import check_code
from components.evaluator.evaluation import read_evaluation
from components.evaluator.row_samples import read_samples
from components.feature_extractor.separation import SEPARATION_FILE
from components.run_report.model_card import card_text, model_card
from components.run_report.page import render_page
from hfmnas_keras.genotype.load_genotype import genotype_from_json
from hfmnas_keras.pretraining.backbone_files import BACKBONES_FILE

PAGE_FILE = "report.html"
SUMMARY_FILE = "summary.json"
CARDS_FOLDER = "model_cards"
# TFX's name for it.
_TUNER_RESULTS_FILE = "tuner_results.json"

#: What this stage runs.
CODE = ("components.run_report",)


class Executor(base_executor.BaseExecutor):
    """Executor of `RunReport`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the report.

        Args:
            input_dict: the artifacts that `RunReportSpec.INPUTS` names, one each; `search_report` and `genotype` only
                where there was a search, `tuner_results` where there was tuning.
            output_dict: `report`, a `RunReport`.
            exec_properties: `name` and `card`, JSON, for the model card; `configuration`, JSON; `code_fingerprint`.
        """
        check_code(exec_properties, CODE)
        self._log_startup(input_dict, output_dict, exec_properties)
        artifacts = {key: artifact_utils.get_single_instance(value) for key, value in input_dict.items() if value}
        pushed_model = artifacts["pushed_model"]
        genotype_text = _read(artifacts["genotype"].uri, "genotype.json") if "genotype" in artifacts else None
        summary = {
            "version": 1,
            "made": {
                "name": exec_properties["name"],
                "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "package": hfmnas_keras.__version__,
                "commit": _commit(),
            },
            "configuration": json.loads(exec_properties["configuration"]),
            "ingest": json.loads(_read(artifacts["examples"].uri, INGEST_FILE)),
            "backbones": json.loads(_read(artifacts["backbones"].uri, BACKBONES_FILE)),
            "separation": json.loads(_read(artifacts["features"].uri, SEPARATION_FILE)),
            "search": json.loads(_read(artifacts["search_report"].uri, "search.json"))
            if "search_report" in artifacts
            else None,
            "genotype": genotype_text and json.loads(genotype_text),
            "tuning": _tuning(artifacts.get("tuner_results")),
            "training": json.loads(_read(artifacts["model_run"].uri, TRAINING_FILE)),
            "evaluation": read_evaluation(artifacts["evaluation"].uri),
            "serving_check": json.loads(_read(artifacts["infra_blessing"].uri, SERVING_CHECK_FILE)),
            "pushed": {
                "pushed": bool(pushed_model.get_int_custom_property("pushed")),
                "destination": pushed_model.get_string_custom_property("pushed_destination"),
            },
            "lineage": {
                key: {"id": artifact.id, "type": artifact.type_name, "uri": artifact.uri}
                for key, artifact in artifacts.items()
            },
        }
        # Their pictures have no place in a summary for programs.
        samples = read_samples(artifacts["evaluation"].uri)
        page = render_page(summary, genotype_from_json(genotype_text) if genotype_text else None, samples)

        (report,) = output_dict["report"]
        fileio.makedirs(report.uri)
        _write(report.uri, SUMMARY_FILE, json.dumps(summary, indent=1) + "\n")
        _write(report.uri, PAGE_FILE, page)
        if summary["pushed"]["pushed"]:
            folder, version = os.path.split(summary["pushed"]["destination"].rstrip("/"))
            card = model_card(summary, json.loads(exec_properties["card"]), exec_properties["name"], version)
            # Not in the version's own folder, which is the model that was checked.
            cards = os.path.join(folder, CARDS_FOLDER)
            fileio.makedirs(cards)
            _write(cards, f"{version}.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
            _write(cards, f"{version}.md", card_text(card))


def _tuning(results: types.Artifact | None) -> list[dict[str, Any]] | None:
    """The trials that came to a score, the best first; `None` where nothing was tuned."""
    return None if results is None else json.loads(_read(results.uri, _TUNER_RESULTS_FILE))


def _commit() -> str | None:
    """Of the checkout that this runs from; `None` of an installed package."""
    root = pathlib.Path(hfmnas_keras.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None


def _read(folder: str, name: str) -> str:
    with fileio.open(os.path.join(folder, name), "r") as file:
        return file.read()


def _write(folder: str, name: str, text: str) -> None:
    with fileio.open(os.path.join(folder, name), "w") as file:
        file.write(text)
