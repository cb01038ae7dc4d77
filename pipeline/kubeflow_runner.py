"""Compiles the pipeline for Kubeflow Pipelines 2 and Vertex AI.

`python -m pipeline.kubeflow_runner --config my.yaml` writes one JSON file, which the kfp client or Vertex AI runs. What
changes from run to run are parameters of that file:

| parameter | holds |
| --- | --- |
| `source-config` | JSON of the source's settings, the data's place among them |
| `source-fingerprint` | what stands for the data in the cache: a word that changes when they do |
| `schema-file` | schema of the raw examples |
| `push-destination` | JSON of TFX's `PushDestination` |

The folder of the artifacts is a parameter of Kubeflow's own (`pipeline_root` of the client).
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
from typing import Any

import click

from pipeline.config import RunConfig
from pipeline.config_file import load_config


@click.command(help="Compiles the HF-MNAS pipeline for Kubeflow Pipelines 2 and Vertex AI.")
@click.option("--config", "config_path", help="YAML file or preset of the run. Default: $HFMNAS_CONFIG, else the demo.")
@click.option("--output", help="JSON file to write. Default: runs/<name>/kubeflow_pipeline.json.")
def main(config_path: str | None = None, output: str | None = None) -> None:
    """Compiles the pipeline that a configuration describes."""
    try:
        config = load_config(config_path)
        path = compile_pipeline(config, output)
    except (ValueError, ImportError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    click.echo(f"Compiled {config.name!r} to {path}")


def compile_pipeline(config: RunConfig, output: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """Writes the compiled pipeline.

    Args:
        config: `RunConfig`.
        output: path of the JSON file. `None` (default) is `kubeflow_pipeline.json` below the root of the run.

    Returns:
        `pathlib.Path` of the file.

    Raises:
        ImportError: when the package that describes Kubeflow's pipelines is missing.
        ValueError: when `config` asks for TFX's InfraValidator, which Kubeflow cannot run.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if config.serving.infra_validation:
        raise ValueError("Kubeflow cannot run InfraValidator. Set `serving.infra_validation` to false.")
    from tfx import v1 as tfx
    from tfx.orchestration.data_types import RuntimeParameter

    from pipeline.definition import create_pipeline, push_destination_json, training_stages

    if not hasattr(tfx.orchestration.experimental, "KubeflowV2DagRunner"):
        # TFX swallows the error of the missing import.
        raise ImportError(
            "Compiling for Kubeflow needs `kfp-pipeline-spec`. Install the extra: hfmnas-keras[pipeline]."
        )

    kubeflow = config.kubeflow
    values = {
        "source-config": json.dumps(config.source_settings(), sort_keys=True),
        "source-fingerprint": "first",
        "schema-file": config.data.schema_file or f"{kubeflow.schema_folder}/{config.schema_file.name}",
        "push-destination": push_destination_json(
            config.serving.push_destination or f"{kubeflow.pipeline_root}/serving"
        ),
    }
    parameters = {name: RuntimeParameter(name=name, ptype=str, default=value) for name, value in values.items()}
    pipeline = create_pipeline(
        config,
        pipeline_root=kubeflow.pipeline_root,
        schema_file=parameters["schema-file"],
        checkpoint_root=kubeflow.checkpoint_root,
        push_destination=parameters["push-destination"],
        source_config=parameters["source-config"],
        source_fingerprint=parameters["source-fingerprint"],
        platform_configs={stage: _resources(config) for stage in training_stages(config)},
        baseline_strategy=tfx.dsl.experimental.LatestBlessedModelStrategy,
    )
    path = pathlib.Path(output) if output is not None else config.root / "kubeflow_pipeline.json"
    runner = tfx.orchestration.experimental.KubeflowV2DagRunner(
        # Schema 2.1 is what Kubeflow Pipelines 2 takes; Vertex AI takes both.
        config=tfx.orchestration.experimental.KubeflowV2DagRunnerConfig(
            default_image=kubeflow.image, use_pipeline_spec_2_1=True
        ),
        output_dir=str(path.absolute().parent),
        output_filename=path.name,
    )
    # Defaults of RuntimeParameters get lost on the way, so the values are named again.
    runner.run(pipeline, parameter_values=values)
    _say_how_to_compute(path, config)
    return path


def _say_how_to_compute(path: pathlib.Path, config: RunConfig) -> None:
    """Gives each container an environment variable, which is in no cache key."""
    from components.execution import EXECUTION_VARIABLE, execution_json

    job = json.loads(path.read_text(encoding="utf-8"))
    value = execution_json(search=config.search, training=config.training)
    for executor in job["pipelineSpec"]["deploymentSpec"]["executors"].values():
        if "container" in executor:
            executor["container"]["env"] = [{"name": EXECUTION_VARIABLE, "value": value}]
    path.write_text(json.dumps(job, sort_keys=True) + "\n", encoding="utf-8")


def _resources(config: RunConfig) -> Any:
    # Brought by kfp as well as by kfp-pipeline-spec alone, on either supported TFX.
    from kfp.pipeline_spec import pipeline_spec_pb2

    resources = config.kubeflow.resources
    resource_spec = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec
    result = resource_spec(cpu_limit=resources.cpu, memory_limit=resources.memory_gb)
    if resources.gpu_count:
        result.accelerator.CopyFrom(resource_spec.AcceleratorConfig(type=resources.gpu_type, count=resources.gpu_count))
    return result


if __name__ == "__main__":
    main()
