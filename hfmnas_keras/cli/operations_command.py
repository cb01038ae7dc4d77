"""`hfmnas operations`."""

from __future__ import annotations

import click

from hfmnas_keras.operations import EDGE_OPERATION_LAYERS, FUSION_OPERATION_DESCRIPTIONS, NODE_OPERATION_LAYERS


@click.command
def operations() -> None:
    """Lists the operations that a search chooses from."""
    _list("edge operations", EDGE_OPERATION_LAYERS.descriptions)
    click.echo()
    _list("node operations", NODE_OPERATION_LAYERS.descriptions)
    click.echo()
    _list("fusion operations of BM-NAS, whose edges have `none` and `skip` alone", FUSION_OPERATION_DESCRIPTIONS)


def _list(title: str, descriptions: dict[str, str]) -> None:
    click.echo(title)
    width = max(map(len, descriptions))
    for name, description in descriptions.items():
        click.echo(f"  {name:{width}}  {description}")
