"""HF-MNAS on the demo data against plain references, over seeds: `python -m benchmarks.demo`."""

from __future__ import annotations

# First, as it sets the log up before TensorFlow is imported.
from benchmarks.comparison import compare  # isort: skip

import click

from pipeline.config_file import load_config


@click.command(help="Compares HF-MNAS with plain references on the demo data.")
@click.option("--seeds", default=3, show_default=True, help="Number of seeds.")
@click.option("--config", "config_path", default="demo", show_default=True, help="Configuration of the runs.")
@click.option("--output", default="runs/benchmark/results.json", show_default=True, help="JSON to write.")
def main(seeds: int, config_path: str, output: str) -> None:
    """Runs the comparison."""
    compare(load_config(config_path), "benchmark", seeds, output)


if __name__ == "__main__":
    main()
