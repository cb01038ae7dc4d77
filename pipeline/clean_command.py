"""`hfmnas clean`: removes what later runs made useless."""

from __future__ import annotations

import click


@click.command
@click.option("--config", "config_path", help="YAML file or preset of a run. Default: $HFMNAS_CONFIG, else the demo.")
@click.option("--keep", default=1, show_default=True, type=click.IntRange(1), help="Artifacts of each output to keep.")
@click.option("--versions", default=2, show_default=True, type=click.IntRange(1), help="Pushed versions to keep.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
def clean(config_path: str | None, keep: int, versions: int, dry_run: bool) -> None:
    """Removes older artifacts of a run, and pushed versions that no longer serve.

    Of each stage's outputs the newest stay, and all that the newest pushed models were made of. What is removed is
    marked as deleted in the run's metadata, so that a later run does not look for it but makes it anew. Do not clean
    while a run is at work.
    """
    from pipeline.clean import clean_run
    from pipeline.config_file import load_config

    report = clean_run(load_config(config_path), keep=keep, versions=versions, dry_run=dry_run)
    for path in report.removed:
        click.echo(path)
    did = "Would remove" if dry_run else "Removed"
    click.echo(f"{did} {len(report.removed)} folders, {report.bytes / 1e6:.0f} MB. Kept {report.kept} artifacts.")
