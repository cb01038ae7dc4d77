"""Compiles the pipeline for Kubeflow Pipelines 2 or Vertex AI.

`python -m pipeline.kubeflow_runner --config my.yaml --platform kubeflow` writes a bare PipelineSpec as YAML, which the
kfp client uploads; `--platform vertex` a PipelineJob as JSON, which `google-cloud-aiplatform` submits. The commands are
in docs/cloud.md. What changes from run to run are parameters of the file:

| parameter | holds | default |
| --- | --- | --- |
| `data-root`, `manifest`, ... | the source's paths, one parameter each | none, but where every machine has it |
| `source-fingerprint` | stands for the data in the cache | a digest of their listing where that is seen, else none |
| `schema-file` | schema of the raw examples | the one in the image |
| `push-destination` | folder of the pushed models | `serving/<name>` below the pipeline's root |

A parameter without a default has to be given to each run. The folder of the artifacts is a parameter of the client's
own, `pipeline_root`.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Mapping

import click

from pipeline.config import RunConfig
from pipeline.config_file import load_config
from pipeline.kubeflow_spec import PLATFORMS, is_on_every_machine, legal_name, write_compiled
from pipeline.local_runner import quiet_imports

PARAMETERS_HELP = """
Parameters of the compiled file, each a default that a run may replace: the source's paths, such as data-root or
manifest; source-fingerprint, which stands for the data in the cache and has to change when they do; schema-file;
push-destination. Those that the compiled file cannot know, like a folder of this machine, have no default, and every
run must give them.

\b
Submit to Kubeflow Pipelines:
  pip install kfp
  python -c "import kfp; kfp.Client(host=HOST).create_run_from_pipeline_package('FILE.yaml',
    arguments={'data-root': 'gs://...', 'source-fingerprint': '...'}, pipeline_root='gs://...')"
Submit to Vertex AI:
  pip install google-cloud-aiplatform
  python -c "from google.cloud import aiplatform; aiplatform.PipelineJob(display_name='NAME',
    template_path='FILE.json', parameter_values={...}, project=PROJECT, location=REGION).submit()"
"""


@click.command(help="Compiles the HF-MNAS pipeline for Kubeflow Pipelines 2 or Vertex AI.", epilog=PARAMETERS_HELP)
@click.option("--config", "config_path", help="YAML file or preset of the run. Default: $HFMNAS_CONFIG, else the demo.")
@click.option(
    "--platform",
    type=click.Choice(list(PLATFORMS)),
    default="kubeflow",
    show_default=True,
    help="Whose file: Kubeflow's is a PipelineSpec (.yaml), Vertex AI's a PipelineJob (.json).",
)
@click.option("--output", help="File to write. Default: <platform>_pipeline.yaml or .json below the root of the run.")
@click.option(
    "--parameter",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="Default of a parameter, such as data-root=gs://bucket/data. Before those of `kubeflow.parameters`.",
)
def main(config_path: str | None, platform: str, output: str | None, given: tuple[str, ...]) -> None:
    """Compiles the pipeline that a configuration describes."""
    try:
        config = load_config(config_path)
        quiet_imports()
        path = compile_pipeline(config, output, platform, _pairs(given))
    except (ValueError, ImportError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    click.echo(f"Compiled {config.name!r} for {platform} to {path}")


def compile_pipeline(
    config: RunConfig,
    output: str | os.PathLike[str] | None = None,
    platform: str = "kubeflow",
    parameters: Mapping[str, str] | None = None,
) -> pathlib.Path:
    """Writes the compiled pipeline.

    Args:
        config: `RunConfig`.
        output: path of the file. `None` (default) is `<platform>_pipeline.yaml` or `.json` below the root of the run.
        platform: str. `"kubeflow"` (default) or `"vertex"`.
        parameters: mapping from names of parameters to defaults, before those of the configuration.

    Returns:
        `pathlib.Path` of the file.

    Raises:
        ImportError: when the package that describes Kubeflow's pipelines is missing.
        ValueError: when `config` asks for TFX's InfraValidator, which Kubeflow cannot run; for an output of another
            kind of file; for an unknown parameter.
    """
    if config.serving.infra_validation:
        raise ValueError("Kubeflow cannot run InfraValidator. Set `serving.infra_validation` to false.")
    if platform not in PLATFORMS:
        raise ValueError(f"`platform` must be one of {tuple(PLATFORMS)}. Received: {platform!r}.")
    path = pathlib.Path(output) if output is not None else config.root / f"{platform}_pipeline{PLATFORMS[platform][0]}"
    if path.suffix not in PLATFORMS[platform]:
        raise ValueError(
            f"The file for {platform} must end in {' or '.join(PLATFORMS[platform])}, which its client asks for. "
            f"Received: {path.name!r}."
        )
    from tfx import v1 as tfx
    from tfx.orchestration.data_types import RuntimeParameter

    from pipeline.definition import create_pipeline, training_stages

    if not hasattr(tfx.orchestration.experimental, "KubeflowV2DagRunner"):
        # TFX swallows the error of the missing import.
        raise ImportError(
            "Compiling for Kubeflow needs `kfp-pipeline-spec`. Install the extra: hfmnas-keras[pipeline]."
        )

    kubeflow = config.kubeflow
    name = legal_name(config.name)
    source_paths = [path for path in config.data.paths if path != "schema_file" and path in config.source_settings()]
    defaults = _defaults(config, source_paths, {**kubeflow.parameters, **(parameters or {})})
    runtime = {name: RuntimeParameter(name=name, ptype=str, default=default) for name, default in defaults.items()}
    pipeline = create_pipeline(
        config.model_copy(update={"name": name}),
        pipeline_root=kubeflow.pipeline_root,
        schema_file=runtime["schema-file"],
        checkpoint_root=kubeflow.checkpoint_root or f"{kubeflow.pipeline_root}/checkpoints/{name}",
        push_destination=runtime["push-destination"],
        source_paths={path: runtime[_dashed(path)] for path in source_paths},
        source_fingerprint=runtime["source-fingerprint"],
        with_metadata=False,
    )
    runner = tfx.orchestration.experimental.KubeflowV2DagRunner(
        # Schema 2.1 is what Kubeflow Pipelines 2 takes; Vertex AI takes both.
        config=tfx.orchestration.experimental.KubeflowV2DagRunnerConfig(
            default_image=kubeflow.image, use_pipeline_spec_2_1=True
        )
    )
    job = runner.run(pipeline, write_out=False)
    write_compiled(job, path, platform, config, defaults, training_stages(config))
    return path


def _defaults(config: RunConfig, source_paths: list[str], given: Mapping[str, str]) -> dict[str, str | None]:
    """Returns the parameters with their defaults; None for what each run has to say."""
    kubeflow = config.kubeflow
    settings = config.source_settings()
    schema_file = config.data.schema_file
    defaults: dict[str, str | None] = {
        **{_dashed(path): settings[path] if is_on_every_machine(settings[path]) else None for path in source_paths},
        "source-fingerprint": None,
        "schema-file": schema_file
        if schema_file and is_on_every_machine(schema_file)
        else f"{kubeflow.schema_folder}/{os.path.basename(config.schema_file)}",
        "push-destination": config.serving.push_destination
        if is_on_every_machine(config.serving.push_destination or "")
        else f"{kubeflow.pipeline_root}/serving/{legal_name(config.name)}",
    }
    if unknown := sorted(set(given) - set(defaults)):
        raise ValueError(f"There are no parameters {unknown}. Known ones: {sorted(defaults)}.")
    defaults.update(given)
    if defaults["source-fingerprint"] is None:
        paths = {path: defaults[_dashed(path)] for path in source_paths}
        if all(paths.values()):
            defaults["source-fingerprint"] = _seen_fingerprint(config, {**settings, **paths})
    return defaults


def _seen_fingerprint(config: RunConfig, settings: Mapping[str, object]) -> str | None:
    """Returns a digest of the data's listing, where it can be seen from here."""
    from components.multimodal_example_gen.sources.registry import source_fingerprint

    # Contents only of what comes with the installed packages; a bucket's would have to be read whole.
    by = config.data.fingerprint_by or ("metadata" if config.data.paths != ("schema_file",) else "content")
    try:
        return source_fingerprint(config.data.source, dict(settings), by)
    except (OSError, ValueError) as error:
        click.echo(
            f"The data cannot be seen from here, so every run has to give `source-fingerprint`: {error}", err=True
        )
        return None


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    for pair in given:
        if "=" not in pair:
            raise ValueError(f"`--parameter` must be NAME=VALUE. Received: {pair!r}.")
    return dict(pair.split("=", 1) for pair in given)


def _dashed(name: str) -> str:
    return name.replace("_", "-")


if __name__ == "__main__":
    main()
