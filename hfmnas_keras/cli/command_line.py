"""`hfmnas`, the group of all commands."""

from __future__ import annotations

import os

import click

import hfmnas_keras
from hfmnas_keras.cli.audit_command import audit_command
from hfmnas_keras.cli.backbone_commands import backbone
from hfmnas_keras.cli.command_group import CommandGroup
from hfmnas_keras.cli.encoder_commands import encoder
from hfmnas_keras.cli.genotype_commands import genotype
from hfmnas_keras.cli.list_commands import backbones, modalities, models, version
from hfmnas_keras.cli.model_commands import evaluate, predict, serve
from hfmnas_keras.cli.operations_command import operations
from hfmnas_keras.plugins import installed_plugins, use_plugins


@click.group(cls=CommandGroup, entry_points="hfmnas.commands")
@click.version_option(hfmnas_keras.__version__, prog_name="hfmnas")
@click.option("--plugin", "plugins", multiple=True, help="Module that registers what is not ours; may come repeatedly.")
def main(plugins: tuple[str, ...]) -> None:
    """Searches how to fuse pictures and texts, and does what follows: predicts, scores, serves, shows and compares.

    Exit codes: 0, it went well; 1, the answer is no (files differ, a file is not valid); 2, the command line is wrong
    or something cannot be read or written.
    """
    # Before TensorFlow is imported: its start-up prints errors where no GPU is. Real ones come as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    use_plugins((*installed_plugins(), *plugins))


for command in (
    audit_command,
    backbone,
    backbones,
    encoder,
    evaluate,
    genotype,
    modalities,
    models,
    operations,
    predict,
    serve,
    version,
):
    main.add_command(command)
