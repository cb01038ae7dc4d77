"""How many rows `hfmnas predict` answers in a second: `python -m benchmarks.predict_rate MODEL`.

Beside it the same model, called in batches of as many rows, with texts and encoded pictures in memory: what the command
adds is reading the table and the pictures' files, and writing the answers. Both run in one process, one after the other
and each several times; TensorFlow's start and the loading of the model, which the command has once, are timed apart.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

# Before TensorFlow is imported: its start-up prints errors where no GPU is.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import numpy as np
import tensorflow as tf

from hfmnas_keras.atomic_file import atomic_file
from hfmnas_keras.cli.model_commands import predict
from hfmnas_keras.export.find_model import find_model
from hfmnas_keras.export.served_model import ROWS_A_CALL, ServedModel

_WORDS = ("red", "fruit", "with", "a", "green", "leaf", "on", "white", "plate")


@click.command(help="Times `hfmnas predict` beside the model called in batches.")
@click.argument("model")
@click.option("--rows", default=1000, show_default=True, type=click.IntRange(1), help="Rows to answer.")
@click.option("--side", default=256, show_default=True, type=click.IntRange(1, 8192), help="Pixels of a JPEG's sides.")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1), help="Of each; the median counts.")
@click.option("--output", default="runs/benchmark/predict_rate.json", show_default=True, help="JSON to write.")
def main(model: str, rows: int, side: int, repeats: int, output: str) -> None:
    """Measures, prints a table and writes the numbers."""
    try:
        found = predict_rate(model, rows, side, repeats)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    click.echo("| what | rows a second |\n| --- | --- |")
    click.echo(f"| the model in batches of {ROWS_A_CALL} | {found['model_rate']:.1f} |")
    click.echo(f"| `hfmnas predict`, the loading of the model left out | {found['predict_rate']:.1f} |")
    click.echo(f"| `hfmnas predict` | {found['whole_rate']:.1f} |")
    click.echo(f"The command has {found['share']:.2f} of the model's rate; {found['load_seconds']:.1f} s to load.")
    with atomic_file(output) as file:
        file.write((json.dumps(found, indent=1) + "\n").encode())


def predict_rate(model: str, rows: int = 1000, side: int = 256, repeats: int = 3) -> dict[str, Any]:
    """Times both.

    Args:
        model: a run or an exported model of texts and pictures.
        rows: int. Rows of the table. Defaults to `1000`.
        side: int. Height and width of the JPEGs. Defaults to `256`.
        repeats: int. Runs of each, by turns, of which the median counts. Defaults to `3`.

    Returns:
        dict: `model_rate`, `predict_rate` (loading left out) and `whole_rate` in rows a second, `share` of the second
        in the first, `load_seconds`, and `seconds` of each run.

    Raises:
        ValueError: when the model is of other modalities.
    """
    served = ServedModel(find_model(model))
    if served.modalities != ("text", "image"):
        raise ValueError(f"The model must read texts and pictures. Received: one of {', '.join(served.modalities)}.")
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(_WORDS, 8)) for _ in range(rows)]
    pictures = [_jpeg(generator, side) for _ in range(min(rows, 50))]
    pictures = [pictures[row % len(pictures)] for row in range(rows)]
    seconds: dict[str, list[float]] = {"model": [], "predict": [], "load": []}
    with tempfile.TemporaryDirectory() as folder:
        table = _write_table(pathlib.Path(folder), texts, pictures)

        def call_model() -> None:
            served.answers(rows, texts.__getitem__, pictures.__getitem__)

        def call_command() -> None:
            arguments = [model, str(table), "-o", str(table.with_name("answers.jsonl"))]
            predict.main(arguments, prog_name="hfmnas predict", standalone_mode=False)

        call_model()
        for _ in range(repeats):
            seconds["load"].append(
                _timed(lambda: ServedModel(find_model(model)).answers(1, texts.__getitem__, pictures.__getitem__))
            )
            seconds["model"].append(_timed(call_model))
            seconds["predict"].append(_timed(call_command))
        with open(table.with_name("answers.jsonl"), encoding="utf-8") as file:
            answers = [json.loads(line) for line in file]
    if len(answers) != rows or any(answer["error"] for answer in answers):
        raise RuntimeError("The command did not answer every row.")
    load, alone, whole = (statistics.median(seconds[name]) for name in ("load", "model", "predict"))
    found = {"model_rate": rows / alone, "predict_rate": rows / (whole - load), "whole_rate": rows / whole}
    return {
        **found,
        "share": found["predict_rate"] / found["model_rate"],
        "load_seconds": load,
        "seconds": seconds,
        "rows": rows,
        "picture_sides": side,
        "tensorflow": tf.__version__,
        "processors": os.cpu_count(),
    }


def _timed(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


def _jpeg(generator: np.random.Generator, side: int) -> bytes:
    """A picture with edges, slopes and some noise."""
    rows, columns = np.mgrid[:side, :side]
    channels = [rows * 255 // side, columns * 255 // side, 255 * ((rows // 8 + columns // 8) % 2)]
    pixels = np.stack(channels, axis=-1) + generator.integers(-10, 10, (side, side, 3))
    return tf.io.encode_jpeg(np.clip(pixels, 0, 255).astype("uint8"), quality=90).numpy()


def _write_table(folder: pathlib.Path, texts: list[str], pictures: list[bytes]) -> pathlib.Path:
    lines = []
    for row, (text, picture) in enumerate(zip(texts, pictures, strict=True)):
        (folder / f"{row}.jpg").write_bytes(picture)
        lines.append(json.dumps({"id": str(row), "text": text, "image": f"{row}.jpg"}) + "\n")
    table = folder / "rows.jsonl"
    table.write_text("".join(lines), encoding="utf-8")
    return table


if __name__ == "__main__":
    main()
