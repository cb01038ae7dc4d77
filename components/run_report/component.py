"""TFX component RunReport."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components import Backbones, Genotype, LinearReferences, SearchReport
from components import RunReport as RunReportArtifact
from components.code_fingerprint import code_fingerprint
from components.run_report import executor


class RunReportSpec(ComponentSpec):
    """Inputs, outputs and properties of `RunReport`."""

    PARAMETERS = {
        "name": ExecutionParameter(type=str),
        "card": ExecutionParameter(type=str),
        "configuration": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "backbones": ChannelParameter(type=Backbones),
        "features": ChannelParameter(type=standard_artifacts.Examples),
        "search_report": ChannelParameter(type=SearchReport, optional=True),
        "genotype": ChannelParameter(type=Genotype, optional=True),
        "tuner_results": ChannelParameter(type=standard_artifacts.TunerResults, optional=True),
        "model_run": ChannelParameter(type=standard_artifacts.ModelRun),
        "references": ChannelParameter(type=LinearReferences),
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": ChannelParameter(type=standard_artifacts.InfraBlessing),
        "pushed_model": ChannelParameter(type=standard_artifacts.PushedModel),
    }
    OUTPUTS = {"report": ChannelParameter(type=RunReportArtifact)}


class RunReport(base_component.BaseComponent):
    """Tells a run to a person and to a program.

    ```python
    run_report = RunReport(
        examples=example_gen.outputs["examples"],
        statistics=statistics_gen.outputs["statistics"],
        backbones=backbone_trainer.outputs["backbones"],
        features=feature_extractor.outputs["features"],
        search_report=architecture_search.outputs["search_report"],
        genotype=architecture_search.outputs["genotype"],
        tuner_results=tuner.outputs["tuner_results"],
        model_run=trainer.outputs["model_run"],
        references=linear_references.outputs["references"],
        evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=serving_check.outputs["blessing"],
        pushed_model=pusher.outputs["pushed_model"],
    )
    ```

    Args:
        name: str. Of the pipeline, for the model card. Defaults to `""`.
        card: mapping from some of `components.run_report.model_card.SAID` to what a person says of the model, or None
            (default).
        configuration: mapping, JSON-able: the settings to show. Defaults to none.
        examples, statistics, backbones, features, search_report, genotype, tuner_results, model_run, references,
            evaluation, blessing, infra_blessing, pushed_model: channels of what the stages of the run made. All are
            listed by id and place under "Lineage". `search_report` and `genotype` are left out where the model is not
            searched, `search_report` also where the genotype was given, `tuner_results` where nothing is tuned.

    Outputs:
        `report`: `components.RunReport`: `report.html`, self-contained, and `summary.json`. Beside the pushed model,
            in `model_cards/` below the push destination, `<version>.json` and `<version>.md`.
    """

    SPEC_CLASS = RunReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        name: str = "",
        card: Mapping[str, str] | None = None,
        configuration: Mapping[str, Any] | None = None,
        **channels: types.BaseChannel | None,
    ):
        super().__init__(
            spec=RunReportSpec(
                **channels,
                name=name,
                card=json.dumps(dict(card or {}), sort_keys=True),
                configuration=json.dumps(dict(configuration or {}), default=str),
                code_fingerprint=code_fingerprint(*executor.CODE),
                report=types.Channel(type=RunReportArtifact),
            )
        )
