"""`hfmnas genotype ...`: show, draw, diff, validate, cost."""

from __future__ import annotations

import pathlib
import sys

import click

from hfmnas_keras.atomic_file import atomic_file
from hfmnas_keras.cli.command_group import legible
from hfmnas_keras.cli.cost_command import cost

_TEXT_FORMATS = (".dot", ".mmd")
_PICTURE_FORMATS = (".svg", ".png")


@click.group
def genotype() -> None:
    """Shows, draws, compares, checks and counts genotypes, of HF-MNAS and of BM-NAS."""


genotype.add_command(cost)


@genotype.command("show")
@click.argument("file")
def show(file: str) -> None:
    """Prints the genotype in FILE, a line for each node."""
    from hfmnas_keras.genotype.description import describe
    from hfmnas_keras.genotype.load_genotype import load_genotype

    click.echo(describe(load_genotype(file)), nl=False)


@genotype.command("draw")
@click.argument("file")
@click.option(
    "-o",
    "--output",
    help="Picture (.svg or .png, needs the extra `plots`) or text (.dot for Graphviz, .mmd for Mermaid) to write. "
    "Default: Mermaid, printed.",
)
def draw_command(file: str, output: str | None) -> None:
    """Draws the genotype in FILE."""
    from hfmnas_keras.genotype.drawing import draw, to_dot, to_mermaid
    from hfmnas_keras.genotype.load_genotype import load_genotype

    loaded = load_genotype(file)
    if output is None:
        click.echo(to_mermaid(loaded), nl=False)
        return
    suffix = pathlib.Path(output).suffix.lower()
    if suffix not in (*_PICTURE_FORMATS, *_TEXT_FORMATS):
        known = ", ".join((*_PICTURE_FORMATS, *_TEXT_FORMATS))
        raise ValueError(f"What is drawn follows from the file's suffix, one of {known}. Received: {output!r}.")
    with atomic_file(output) as drawing:
        if suffix in _TEXT_FORMATS:
            text = to_dot(loaded) if suffix == ".dot" else to_mermaid(loaded)
            drawing.write(text.encode("utf-8"))
        else:
            draw(loaded, drawing, format=suffix[1:])


@genotype.command("diff")
@click.argument("first")
@click.argument("second")
@click.option("--choices", is_flag=True, help="Compare what was chosen, not how important each node is.")
def diff(first: str, second: str, choices: bool) -> None:
    """Prints in what the genotypes in FIRST and SECOND differ, label by label; metadata are not compared.

    Exit code 0: they are the same; 1: they differ.
    """
    from hfmnas_keras.genotype.description import differences
    from hfmnas_keras.genotype.load_genotype import load_genotype

    found = differences(load_genotype(first), load_genotype(second), importance=not choices)
    for difference in found:
        before, after = (choice or "(absent)" for choice in (difference.first, difference.second))
        click.echo(f"{difference.label}: {before} -> {after}")
    if found:
        sys.exit(1)


@genotype.command("validate")
@click.argument("files", nargs=-1, required=True)
def validate(files: tuple[str, ...]) -> None:
    """Checks that every one of FILES is a genotype.

    Exit code 0: all are; 1: one is not; 2: one cannot be read.
    """
    from hfmnas_keras.genotype.load_genotype import load_genotype

    code = 0
    for file in files:
        try:
            loaded = load_genotype(file)
        except (ValueError, OSError) as error:
            click.echo(legible(error), err=True)
            code = max(code, 1 if isinstance(error, ValueError) else 2)
        else:
            click.echo(f"{file}: valid, {loaded.size}")
    sys.exit(code)
