"""The commands of `hfmnas` that are the pipeline's: `init`, `run`, `compile`, `report`, `layout` and `config`.

Entry points of the group `hfmnas.commands` name them. This module imports nothing heavy: `hfmnas --help` asks for every
command's first line. `init`, `run` and `compile` are the commands of the modules that `python -m` runs.
"""

from __future__ import annotations

import importlib
import json
import pathlib
from typing import Any

import click


def _command_of(name: str, module: str, short_help: str) -> click.Command:
    """A command that hands everything, `--help` too, to the one in a module, which is imported when it is called."""

    @click.pass_context
    def forward(context: click.Context, arguments: tuple[str, ...]) -> Any:
        command = importlib.import_module(module).main
        return command.main(list(arguments), prog_name=context.command_path, standalone_mode=False)

    return click.Command(
        name,
        callback=forward,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        short_help=short_help,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )


init = _command_of("init", "pipeline.manifest_config", "Looks at a manifest and writes a configuration for it.")
run = _command_of("run", "pipeline.local_runner", "Runs the pipeline on this machine.")
compile_ = _command_of("compile", "pipeline.kubeflow_runner", "Compiles the pipeline for Kubeflow or Vertex AI.")


@click.command("report")
@click.argument("run_folder", metavar="RUN")
@click.option("--open", "is_opened", is_flag=True, help="Show it in the browser, too.")
def report(run_folder: str, is_opened: bool) -> None:
    """Prints where the report of RUN is, the folder of a run such as runs/demo."""
    found = sorted(
        pathlib.Path(run_folder).glob("artifacts/RunReport/report/*/report.html"),
        key=lambda path: int(path.parent.name) if path.parent.name.isdecimal() else -1,
    )
    if not found:
        raise ValueError(f"There is no report in {run_folder!r}. Name the folder of a run that ended, as runs/demo.")
    click.echo(str(found[-1]))
    if is_opened:
        click.launch(found[-1].absolute().as_uri())


@click.command("layout")
@click.argument("source", required=False)
def layout(source: str | None) -> None:
    """Says what files SOURCE wants, `data.source` of a configuration; without it, which sources there are."""
    # Here and not above: the sources import TensorFlow.
    import inspect

    from components.multimodal_example_gen.sources.registry import SOURCES

    if source is None:
        width = max(map(len, SOURCES.descriptions))
        for name, description in SOURCES.descriptions.items():
            click.echo(f"{name:{width}}  {description}")
        return
    found = SOURCES[source]
    click.echo(inspect.getdoc(found))
    click.echo(f"\nModalities: {', '.join(found.modalities)}. Every setting: docs/configuration-reference.md.")


@click.group("config")
def config() -> None:
    """Checks configurations, and describes all keys."""


@config.command("schema")
def schema() -> None:
    """Prints the JSON schema of a configuration, for editors."""
    from pipeline.config_schema import config_schema

    click.echo(json.dumps(config_schema(), indent=1))


@config.command("check")
@click.argument("files", nargs=-1, required=True, metavar="FILES")
def check(files: tuple[str, ...]) -> None:
    """Checks configurations, files or presets, without running anything.

    Exit codes: 0, all can be run; 2, one cannot.
    """
    from pipeline.config_file import load_config

    for file in files:
        click.echo(f"{file}: valid, a run named {load_config(file).name!r}")
