"""How long a pushed model takes to answer one request: `python -m benchmarks.serving_latency [SAVED_MODEL]`.

Batch 1, in one process, by the SavedModel's own signatures: `serve_json` from JPEG bytes and a text, `serving_default`
from a serialized `tf.Example` of the same, both with decoding, resizing, the vocabulary and the answer's conversion to
arrays; not the network's and the server's own time. Beside them the model alone (`classifier.keras`, which Trainer
writes), from a decoded picture and token ids.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

# Before TensorFlow is imported: its start-up prints errors where no GPU is.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import keras
import numpy as np
import tensorflow as tf

from hfmnas_keras.atomic_file import atomic_file
from hfmnas_keras.backbones import image_backbone, text_backbone  # noqa: F401
from hfmnas_keras.cost.latency import Latency, measure_latency, model_latency

# Loading a classifier needs the classes of its layers registered.
from hfmnas_keras.models import classifier as _classifier  # noqa: F401
from hfmnas_keras.models.hf_mnas import searched_model  # noqa: F401

TEXT = "a red fruit with a green leaf on a white plate"


@click.command(help="Times the answers of a pushed SavedModel at batch 1.")
@click.argument("saved_model", required=False)
@click.option(
    "--classifier", help="`.keras` file of the model alone. Default: the demo's newest, with the demo's model."
)
@click.option("--calls", default=500, show_default=True, type=click.IntRange(1), help="Calls to time.")
@click.option(
    "--side", default=256, show_default=True, type=click.IntRange(1, 8192), help="Pixels of the JPEG's sides."
)
@click.option("--output", default="runs/benchmark/serving_latency.json", show_default=True, help="JSON to write.")
def main(saved_model: str | None, classifier: str | None, calls: int, side: int, output: str) -> None:
    """Measures, prints a table and writes the numbers."""
    if saved_model is None:
        saved_model = newest("runs/demo/serving/demo", "*/saved_model.pb").removesuffix("/saved_model.pb")
        classifier = classifier or newest("runs/demo/artifacts/Trainer", "*/*/classifier.keras")
    try:
        latencies = serving_latency(saved_model, classifier, calls, side)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    click.echo("| what | p50 | p99 |\n| --- | --- | --- |")
    for name, latency in latencies.items():
        click.echo(f"| {name} | {latency.p50_ms:.2f} ms | {latency.p99_ms:.2f} ms |")
    record = {
        "saved_model": saved_model,
        "classifier": classifier,
        "picture_sides": side,
        "tensorflow": tf.__version__,
        "devices": [device.name for device in tf.config.list_physical_devices()],
        "processors": os.cpu_count(),
        "latency": {name: dataclasses.asdict(latency) for name, latency in latencies.items()},
    }
    with atomic_file(output) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode("utf-8"))
    click.echo(f"{calls} calls each. Written to {output}.")


def serving_latency(
    saved_model: str, classifier: str | None = None, calls: int = 500, side: int = 256
) -> dict[str, Latency]:
    """Times one request after the other.

    Args:
        saved_model: folder of a SavedModel of `export_saved_model`, for pictures, texts or both.
        classifier: optional `.keras` file of the classifier in it.
        calls: int. Calls to time of each. Defaults to `500`.
        side: int. Height and width of the JPEG. Defaults to `256`.

    Returns:
        dict from what was called to `Latency`.

    Raises:
        ValueError: when the model reads something else than pictures and texts.
    """
    signatures = tf.saved_model.load(saved_model).signatures
    picture = _jpeg(side)
    arguments: dict[str, Any] = {"text": TEXT.encode("utf-8"), "image_bytes": picture}
    wanted = signatures["serve_json"].structured_input_signature[1]
    if not set(wanted) <= set(arguments):
        raise ValueError(
            f"Requests are made of {', '.join(arguments)}. "
            f"The model in {saved_model} reads {', '.join(sorted(wanted))}."
        )
    request = {name: tf.constant([arguments[name]]) for name in wanted}
    example = _example({"text": arguments["text"], "image": picture})
    latencies = {
        "`serve_json`: JPEG and text": _timed(lambda: signatures["serve_json"](**request), calls),
        "`serving_default`: serialized Example": _timed(
            lambda: signatures["serving_default"](examples=tf.constant([example])), calls
        ),
    }
    if classifier is not None:
        model = keras.saving.load_model(classifier, compile=False)
        latencies["model alone"] = model_latency(model, _one_row(model), calls)
    return latencies


def newest(folder: str, pattern: str) -> str:
    """The path of the newest file that fits.

    Raises:
        click.UsageError: when there is none.
    """
    found = sorted(pathlib.Path(folder).glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        raise click.UsageError(f"There is no {folder}/{pattern}: run `make demo`, or name a SavedModel.")
    return str(found[-1])


def _timed(call: Any, calls: int) -> Latency:
    return measure_latency(lambda: {name: tensor.numpy() for name, tensor in call().items()}, calls)


def _jpeg(side: int) -> bytes:
    """A picture with edges and slopes, so that decoding has something to do."""
    rows, columns = np.mgrid[:side, :side]
    channels = [rows * 255 // side, columns * 255 // side, 255 * ((rows // 8 + columns // 8) % 2)]
    return tf.io.encode_jpeg(np.stack(channels, axis=-1).astype("uint8"), quality=90).numpy()


def _example(features: dict[str, bytes]) -> bytes:
    feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _one_row(model: keras.Model) -> dict[str, np.ndarray]:
    """A row of each input: of words the first ids, of a picture a middle grey."""
    rows = {}
    for name, tensor in model.input.items():
        value = 1 if "int" in keras.backend.standardize_dtype(tensor.dtype) else 127
        rows[name] = np.full((1, *tensor.shape[1:]), value, keras.backend.standardize_dtype(tensor.dtype))
    return rows


if __name__ == "__main__":
    main()
