"""`hfmnas backbone ...`: convert."""

from __future__ import annotations

import dataclasses

import click

from hfmnas_keras.backbones.published_networks import INFLATIONS, PUBLISHED_NETWORKS
from hfmnas_keras.settings.backbones import VideoBackboneSettings


@click.group
def backbone() -> None:
    """Prepares weights of backbones."""


@backbone.command("convert")
@click.argument("network", type=click.Choice(sorted(PUBLISHED_NETWORKS)))
@click.argument("file")
@click.option("-o", "--output", required=True, help="The `.keras` file to write.")
@click.option(
    "--head", is_flag=True, help="Convert the classifier too: a file for `weights` instead of `trunk_weights`."
)
@click.option("--inflation", type=click.Choice(INFLATIONS), default="center", help="How 2-D kernels become 3-D ones.")
@click.option("--input-shape", help="Of a row, such as 32,112,112,1 for depth. Default: the published one.")
@click.option("--stem-frames", type=int, help="Frames that the first kernel of a clip's network spans.")
@click.option("--grid", help="Size of pooled maps, such as 8,1. Default: 4,4 for pictures, 8,1 for clips.")
def convert(
    network: str,
    file: str,
    output: str,
    head: bool,
    inflation: str,
    input_shape: str | None,
    stem_frames: int | None,
    grid: str | None,
) -> None:
    """Writes a `.keras` file from the published PyTorch weights of NETWORK in FILE, a `.safetensors` or `.pth` file.

    Nothing that the file says is run: docs/method.md, section 3.
    """
    from hfmnas_keras.backbones.convert_published import convert_published

    settings, shape = PUBLISHED_NETWORKS[network]
    if input_shape is not None:
        shape = _sides("--input-shape", input_shape, len(shape))
    if stem_frames is not None:
        if not isinstance(settings, VideoBackboneSettings):
            raise ValueError(f"`--stem-frames` is an option of networks of clips. Received: {network}.")
        settings = dataclasses.replace(settings, stem_frames=stem_frames)
    sides = None if grid is None else _sides("--grid", grid, 2)
    model = convert_published(file, output, settings, shape, inflation, head, sides)
    setting = "weights" if head else "trunk_weights"
    click.echo(f"{output}: {model.count_params():,} parameters. Name it in the setting `{setting}` of the backbone.")


def _sides(option: str, text: str, count: int) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) != count or not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise ValueError(f"`{option}` must be {count} positive ints with commas between. Received: {text!r}.")
    return tuple(map(int, parts))
