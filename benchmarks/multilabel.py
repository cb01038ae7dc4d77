"""HF-MNAS on a real multi-label set against plain references: `python -m benchmarks.multilabel`.

The set is Debian's openclipart (`benchmarks.openclipart`), fetched where it is not there yet; its configuration is the
one that `python -m pipeline.manifest_config` writes for it.
"""

from __future__ import annotations

# First, as it sets the log up before TensorFlow is imported.
from benchmarks.comparison import compare  # isort: skip

import pathlib

import click

from benchmarks.openclipart import write_manifest
from pipeline.config_file import load_config
from pipeline.manifest_config import told, write_manifest_config


@click.command(help="Compares HF-MNAS with plain references on openclipart, several labels a row.")
@click.option("--seeds", default=1, show_default=True, help="Number of seeds.")
@click.option("--folder", default="data/openclipart", show_default=True, help="Where the set is, or is built.")
@click.option("--output", default="runs/benchmark/multilabel.json", show_default=True, help="JSON to write.")
def main(seeds: int, folder: str, output: str) -> None:
    """Builds the set, looks at it, and runs the comparison."""
    click.echo(f"Openclipart in {folder}: fetched and built where it is not there.")
    manifest = write_manifest(folder)
    config = pathlib.Path(folder) / "openclipart.yaml"
    if not config.is_file():
        for line in told(write_manifest_config(str(manifest), str(config))):
            click.echo(line)
    compare(load_config(config), "benchmark-multilabel", seeds, output)


if __name__ == "__main__":
    main()
