"""TFX component RunReport."""

from __future__ import annotations

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

    PARAMETERS = {"code_fingerprint": ExecutionParameter(type=str)}
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
        examples, statistics, backbones, features, search_report, genotype, tuner_results, model_run, references,
            evaluation, blessing, infra_blessing, pushed_model: channels of what the stages of the run made. All are
            listed by id and place under "Lineage". `search_report` and `genotype` are left out where the model is not
            searched, `tuner_results` where nothing is tuned.

    Outputs:
        `report`: `components.RunReport`: `report.html`, self-contained, and `summary.json`.
    """

    SPEC_CLASS = RunReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, **channels: types.BaseChannel | None):
        super().__init__(
            spec=RunReportSpec(
                **channels,
                code_fingerprint=code_fingerprint(*executor.CODE),
                report=types.Channel(type=RunReportArtifact),
            )
        )
