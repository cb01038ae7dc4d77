"""`hfmnas serving`: which versions serve, going back, and the server's configuration."""

from __future__ import annotations

import click


@click.group
def serving() -> None:
    """Looks after the models that a pipeline pushed.

    FOLDER is a push destination, such as runs/demo/serving/demo or gs://bucket/serving/demo.
    """


@serving.command("list")
@click.argument("folder")
def list_versions(folder: str) -> None:
    """Lists the versions, the one that serves last."""
    from pipeline.served_versions import served_versions

    for version in served_versions(folder):
        click.echo(version)


@serving.command
@click.argument("folder")
@click.option("--to", type=int, help="Version to serve. Default: the one before the newest.")
def rollback(folder: str, to: int | None) -> None:
    """Lets an older version serve again.

    Newer ones are renamed to withdrawn-<version>, which servers do not look at. A run from the cache does not push
    such a model again.
    """
    from pipeline.served_versions import roll_back

    withdrawn, serves = roll_back(folder, to)
    click.echo(f"Withdrawn: {', '.join(map(str, withdrawn)) or 'none'}. Version {serves} serves.")


@serving.command
@click.argument("folder")
@click.option("--name", required=True, help="Name of the model, as clients ask for it.")
@click.option("--base-path", help="Where the server sees FOLDER. Default: FOLDER itself.")
@click.option("--canary", is_flag=True, help="Serve the two newest versions, labelled stable and canary.")
def config(folder: str, name: str, base_path: str | None, canary: bool) -> None:
    """Prints a --model_config_file for TensorFlow Serving."""
    from pipeline.served_versions import served_versions, server_config

    click.echo(server_config(name, base_path or folder, served_versions(folder), canary), nl=False)
