"""`hfmnas study`."""

from __future__ import annotations

import os
import pathlib
import sys

import click


@click.command
@click.argument("name", required=False)
@click.option("--config", "config_path", help="YAML file or preset of a run. Default: $HFMNAS_CONFIG, else the demo.")
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1), help="Seeds of each variant.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    help="Processes that train, one thread each; 0 trains in this one. Default: one a core.",
)
@click.option("--root", default="runs/studies", show_default=True, help="Folder of all studies.")
@click.option("--fresh", is_flag=True, help="Train the study's models again, though they are there.")
@click.option("--list", "listed", is_flag=True, help="List the studies for the configuration.")
def study(
    name: str | None,
    config_path: str | None,
    seeds: int,
    workers: int | None,
    root: str,
    fresh: bool,
    listed: bool,
) -> None:
    """Runs a comparison of the paper on the data of a configuration.

    The pipeline runs up to its features, or takes them from its cache; then each variant of the study NAME is searched
    and trained from each seed. A study that was stopped goes on with the same command. Below the folder of all studies
    are written: results.json, table.md and figure.png.

    Exit code 1: a model failed, or the pipeline before its features; what failed is tried again by the same command.
    """
    try:
        from pipeline.config_file import load_config
        from pipeline.local_runner import quiet_imports
        from pipeline.studies.studies import STUDIES
    except ImportError as error:
        raise ImportError(
            f"`hfmnas study` runs the pipeline, which is not installed ({error}). Install the extra `pipeline`."
        ) from error

    config = load_config(config_path)
    if listed or name is None:
        click.echo(f"Studies, with their trials for {config.name!r} and {seeds} seeds:")
        for one in STUDIES.values():
            trials = sum(max(seeds, variant.least_seeds) for variant in one.variants(config))
            click.echo(f"  {one.name:14}{trials:4} trials  {one.paper}: {one.title}")
        return
    if name not in STUDIES:
        raise ValueError(f"There is no study {name!r}. Known ones: {', '.join(STUDIES)}.")
    quiet_imports()
    # Here and not above: it imports TensorFlow.
    from pipeline.studies.run_study import run_study

    try:
        results = run_study(
            STUDIES[name],
            config,
            seeds,
            pathlib.Path(root).absolute(),
            workers=len(os.sched_getaffinity(0)) if workers is None else workers,
            fresh=fresh,
            show=click.echo,
        )
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error
    if any(row["failed"] for row in results.rows()):
        sys.exit(1)
