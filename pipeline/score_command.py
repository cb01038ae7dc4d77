"""`hfmnas score`."""

from __future__ import annotations

import shlex

import click


@click.command
@click.argument("model")
@click.argument("manifest")
@click.option("-o", "--output", required=True, help="File of JSON lines to write.")
@click.option("--data-root", help="Folder of the pictures. Default: the manifest's.")
@click.option("--batch-size", default=32, show_default=True, type=click.IntRange(1), help="Rows at once.")
@click.option("--beam-args", help="Options of Beam in one string, such as '--runner=DataflowRunner --project=...'.")
def score(
    model: str, manifest: str, output: str, data_root: str | None, batch_size: int, beam_args: str | None
) -> None:
    """Writes what a pushed MODEL says of each row of a MANIFEST of texts and pictures, by Beam.

    Paths may be addresses such as gs://bucket/rows.jsonl. The manifest needs no labels.
    """
    from pipeline.score import score_manifest

    own = {} if beam_args is None else {"beam_args": shlex.split(beam_args)}
    score_manifest(model, manifest, output, data_root, batch_size, **own)
    click.echo(f"Wrote {output}")
