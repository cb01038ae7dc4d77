"""Whether a pushed model stands a crowd: `python -m benchmarks.serving_load [SAVED_MODEL]`.

Threads call `serve_json` and `serving_default` for a minute, in one process, with good requests of one and of several
rows and with hostile ones: broken, huge, animated and empty pictures, bytes that are no picture, endless texts,
examples that are none, no rows, unequal numbers of rows. Whatever they send, the process must live, good rows must be
answered as if they were alone, and memory must not grow.
"""

from __future__ import annotations

import collections
import json
import os
import random
import struct
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

# Before TensorFlow is imported: its start-up prints errors where no GPU is.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import numpy as np
import tensorflow as tf

from benchmarks.serving_latency import TEXT, newest
from hfmnas_keras.atomic_file import atomic_file
from hfmnas_keras.data.modalities import MAX_TEXT_BYTES

_ROWS = 8
_KEPT_MS = 200_000
#: Requests whose rows are all good, more often than each other kind.
GOOD = ("one row", "several rows")


@click.command(help="Drives a pushed SavedModel from several threads with good and hostile requests.")
@click.argument("saved_model", required=False)
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 64))
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(1))
@click.option("--output", default="runs/benchmark/serving_load.json", show_default=True, help="JSON to write.")
def main(saved_model: str | None, threads: int, seconds: float, output: str) -> None:
    """Measures, prints a table and writes the numbers. Exit code 1: an answer was wrong, or memory grew."""
    if saved_model is None:
        saved_model = newest("runs/demo/serving/demo", "*/saved_model.pb").removesuffix("/saved_model.pb")
    try:
        record = serving_load(saved_model, threads, seconds)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    click.echo("| requests | number | p50 | p99 | rows answered | rows refused | requests refused |")
    click.echo("| --- | --- | --- | --- | --- | --- | --- |")
    for name, kind in record["kinds"].items():
        click.echo(
            f"| {name} | {kind['requests']} | {kind['p50_ms']:.1f} ms | {kind['p99_ms']:.1f} ms | "
            f"{kind['rows_answered']} | {kind['rows_refused']} | {kind['requests_refused']} |"
        )
    click.echo(
        f"{record['requests']} requests in {record['seconds']:.0f} s from {threads} threads; memory "
        f"{record['memory_mb'][0]:.0f} MB after a quarter of the time, {record['memory_mb'][1]:.0f} MB at the end."
    )
    with atomic_file(output) as file:
        file.write((json.dumps({"saved_model": saved_model, **record}, indent=1) + "\n").encode("utf-8"))
    for problem in record["problems"]:
        click.echo(f"Wrong: {problem}", err=True)
    if record["problems"]:
        raise SystemExit(1)


def serving_load(saved_model: str, threads: int = 8, seconds: float = 60.0) -> dict[str, Any]:
    """Drives a model.

    Args:
        saved_model: folder of a SavedModel of `export_saved_model`, for pictures and texts.
        threads: int. Callers at once.
        seconds: float.

    Returns:
        dict with `requests`, `seconds`, `memory_mb` (after a quarter of the time and at the end), `kinds` (by name
        `requests`, `p50_ms`, `p99_ms`, `rows_answered`, `rows_refused`, `requests_refused`) and `problems` (list of
        str): good rows that were refused or answered otherwise than alone, hostile ones that were answered, memory that
        grew by more than a tenth and 100 MB.

    Raises:
        ValueError: when the model reads something else than pictures and texts.
    """
    signatures = tf.saved_model.load(saved_model).signatures
    signature = signatures["serve_json"]
    wanted = set(signature.structured_input_signature[1])
    if wanted != {"text", "image_bytes"}:
        raise ValueError(f"Requests are made of pictures and texts. The model in {saved_model} reads {sorted(wanted)}.")
    kinds = _kinds()
    alone = signature(image_bytes=tf.constant([_good_picture()]), text=tf.constant([TEXT]))["probabilities"].numpy()[0]
    crowd = _Crowd(signatures, kinds, alone)
    # Each kind once before the clock runs: the first call of a shape is slow, and what is refused is known.
    for name in kinds:
        crowd.call(name)
    crowd.clear()
    started = time.monotonic()
    callers = [
        threading.Thread(target=crowd.run, args=(number, started + seconds), daemon=True) for number in range(threads)
    ]
    for caller in callers:
        caller.start()
    time.sleep(seconds / 4)
    early = _memory_mb()
    for caller in callers:
        caller.join()
    late = _memory_mb()
    problems = list(crowd.problems)
    if late > 1.1 * early + 100:
        problems.append(f"memory grew from {early:.0f} MB to {late:.0f} MB")
    shown = {name: crowd.summary(name) for name in kinds}
    return {
        "threads": threads,
        "seconds": time.monotonic() - started,
        "requests": sum(kind["requests"] for kind in shown.values()),
        "memory_mb": [early, late],
        "kinds": shown,
        "problems": problems,
    }


class _Crowd:
    """Callers of a model's signatures, and what they saw."""

    def __init__(
        self,
        signatures: dict[str, Callable[..., dict[str, tf.Tensor]]],
        kinds: dict[str, tuple],
        alone: np.ndarray,
    ):
        self._signatures = signatures
        self._kinds = kinds
        self._alone = alone
        self._lock = threading.Lock()
        self.problems: list[str] = []
        self.clear()

    def clear(self) -> None:
        self._milliseconds: dict[str, list[float]] = collections.defaultdict(list)
        self._counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)

    def run(self, number: int, end: float) -> None:
        draw = random.Random(number)
        names = [*self._kinds, *GOOD * len(self._kinds)]
        while time.monotonic() < end:
            self.call(draw.choice(names))

    def call(self, name: str) -> None:
        images, texts, is_good = self._kinds[name]
        started = time.monotonic()
        try:
            if images is None:
                answer = self._signatures["serving_default"](examples=tf.constant(texts, tf.string))
            else:
                answer = self._signatures["serve_json"](
                    image_bytes=tf.constant(images, tf.string), text=tf.constant(texts, tf.string)
                )
            errors, probabilities = answer["error"].numpy(), answer["probabilities"].numpy()
        except tf.errors.OpError:
            self._note(name, started, 0, 0, 1, [] if is_good is None else [f"{name}: the whole request was refused"])
            return
        answered = [not error for error in errors]
        wrong = [] if answered == is_good else [f"{name}: rows answered {answered}, expected {is_good}"]
        if any(answered) and np.abs(probabilities[answered] - self._alone).max() > 1e-4:
            wrong.append(f"{name}: a good row was answered otherwise than alone")
        self._note(name, started, sum(answered), len(answered) - sum(answered), 0, wrong)

    def _note(self, name: str, started: float, answered: int, refused: int, lost: int, wrong: list[str]) -> None:
        milliseconds = 1000 * (time.monotonic() - started)
        with self._lock:
            if len(self._milliseconds[name]) < _KEPT_MS:
                self._milliseconds[name].append(milliseconds)
            self._counts[name].update(requests=1, rows_answered=answered, rows_refused=refused, requests_refused=lost)
            self.problems += [problem for problem in wrong if problem not in self.problems]

    def summary(self, name: str) -> dict[str, float]:
        times = self._milliseconds[name] or [0.0]
        p50, p99 = (float(value) for value in np.percentile(times, (50, 99)))
        keys = ("requests", "rows_answered", "rows_refused", "requests_refused")
        return {**{key: self._counts[name][key] for key in keys}, "p50_ms": p50, "p99_ms": p99}


def _kinds() -> dict[str, tuple]:
    """Requests by name: pictures, texts, and which rows are good; `None` where the request itself is wrong.

    Without pictures they are serialized examples. All good rows are the same one.
    """
    good = _good_picture()
    bad = {
        "a broken picture": good[: len(good) // 2],
        "a picture of 10^8 pixels": _png_of(10_000, 10_000),
        "no picture": b"none",
        "another file": b"%PDF-1.7 " + bytes(200),
        "an animation": b"GIF89a" + bytes(40),
    }
    kinds: dict[str, tuple] = {
        "one row": ([good], [TEXT], [True]),
        "several rows": ([good] * _ROWS, [TEXT] * _ROWS, [True] * _ROWS),
    }
    for what, picture in bad.items():
        kinds[f"{what} among good ones"] = ([good, picture, good], [TEXT] * 3, [True, False, True])
    kinds["an endless text among good ones"] = ([good] * 3, [TEXT, "x " * MAX_TEXT_BYTES, TEXT], [True, False, True])
    example = _example(good)
    kinds["examples"] = (None, [example] * 3, [True] * 3)
    kinds["a broken example among good ones"] = (None, [example, example[:-7], example], [True, False, True])
    kinds["no rows"] = ([], [], [])
    kinds["a picture more than texts"] = ([good] * 2, [TEXT], None)
    return kinds


def _example(picture: bytes) -> bytes:
    values = {"image": picture, "text": TEXT.encode("utf-8")}
    feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _good_picture() -> bytes:
    rows, columns = np.mgrid[:256, :256]
    channels = [rows, columns, 255 * ((rows // 8 + columns // 8) % 2)]
    return tf.io.encode_jpeg(np.stack(channels, axis=-1).astype("uint8"), quality=90).numpy()


def _png_of(height: int, width: int) -> bytes:
    """A small file that claims to be a large picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def _memory_mb() -> float:
    """Memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
