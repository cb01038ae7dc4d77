"""`hfmnas models`, `backbones`, `modalities` and `version`: what there is."""

from __future__ import annotations

import importlib.metadata
import platform

import click

import hfmnas_keras
from hfmnas_keras.settings.backbones import BACKBONE_SETTINGS, BACKBONES
from hfmnas_keras.settings.models import PLAIN_MODELS, SEARCHED_MODELS

_PACKAGES = ("tensorflow", "keras", "numpy", "tfx", "apache-beam", "keras-tuner", "pydantic", "matplotlib", "av")


@click.command
def models() -> None:
    """Lists what a run can train."""
    show("searched", SEARCHED_MODELS.descriptions)
    click.echo()
    show("plain, without a search", PLAIN_MODELS.descriptions)


@click.command
def backbones() -> None:
    """Lists the networks that read a modality."""
    own = {
        modality: (settings.__doc__ or "").partition("\n")[0].rstrip(".")
        for modality, settings in BACKBONE_SETTINGS.items()
    }
    show("the modalities' own", own)
    click.echo()
    kinds = {name: f"{BACKBONES.descriptions[name]} ({', '.join(BACKBONES[name].modalities)})" for name in BACKBONES}
    show("by `kind`", kinds)


@click.command
def modalities() -> None:
    """Lists what a row can be made of."""
    # Here and not above: it imports TensorFlow.
    from hfmnas_keras.data.modalities import MODALITIES

    lines = {name: (type(one).__doc__ or "").partition("\n")[0].rstrip(".") for name, one in MODALITIES.items()}
    show("modalities", lines)


@click.command
@click.option(
    "-v", "--verbose", is_flag=True, help="Also those of Python and the packages below, for a report of a fault."
)
def version(verbose: bool) -> None:
    """Shows the version."""
    click.echo(f"hfmnas {hfmnas_keras.__version__}")
    if not verbose:
        return
    click.echo(f"  Python {platform.python_version()} on {platform.platform()}")
    for package in _PACKAGES:
        try:
            click.echo(f"  {package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            click.echo(f"  {package}: not installed")


def show(title: str, descriptions: dict[str, str]) -> None:
    """Prints names with their descriptions."""
    click.echo(title)
    width = max(map(len, descriptions))
    for name, description in descriptions.items():
        click.echo(f"  {name:{width}}  {description}")
