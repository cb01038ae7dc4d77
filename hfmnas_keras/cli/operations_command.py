"""`hfmnas operations`."""

from __future__ import annotations

import click

from hfmnas_keras.cli.list_commands import show
from hfmnas_keras.operations import EDGE_OPERATION_LAYERS, FUSION_OPERATION_DESCRIPTIONS, NODE_OPERATION_LAYERS


@click.command
def operations() -> None:
    """Lists the operations that a search chooses from."""
    show("edge operations", EDGE_OPERATION_LAYERS.descriptions)
    click.echo()
    show("node operations", NODE_OPERATION_LAYERS.descriptions)
    click.echo()
    show("fusion operations of BM-NAS, whose edges have `none` and `skip` alone", FUSION_OPERATION_DESCRIPTIONS)
