"""How the ingest gains from a second worker, and what memory it takes: `python -m benchmarks.ingest`.

Posters and plots in the layout of MM-IMDB, made here (256 pixels wide, JPEGs of some 26 kB), are read by the executor
of `MultimodalExampleGen` with one worker, as configurations have it by default, and with two worker processes. Runs
alternate, so that whatever else the machine does slows both; each is in a process of its own. Their time is that of the
executor, the start of its workers with it and the import of TFX in front of it without. Processor time and peak memory
are of the run's process and of its workers, from Linux's `/proc`.
"""

from __future__ import annotations

import concurrent.futures
import io
import json
import multiprocessing
import os
import pathlib
import statistics
import tempfile
import time
from typing import Any

# Before TensorFlow is imported: its start-up prints errors where no GPU is.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import numpy as np
from PIL import Image

from benchmarks.process_tree import ProcessTree
from hfmnas_keras.atomic_file import atomic_file

#: `beam_args` of a configuration.
WORKERS = {
    "one worker": ("--direct_running_mode=in_memory", "--direct_num_workers=1"),
    "two workers": ("--direct_running_mode=multi_processing", "--direct_num_workers=2"),
}
_GENRES = ("Drama", "Comedy", "Horror", "Western", "Film-Noir")
_SPLIT_OF = ("train",) * 6 + ("dev",) + ("test",) * 3
_SMOOTH = Image.Resampling.BICUBIC
#: A different poster each would take longer to make than to read.
_POSTERS = 200


@click.command(help="Times the ingest with one and with two workers.")
@click.option("--images", default=5000, show_default=True, type=click.IntRange(50), help="Rows of the timed runs.")
@click.option("--fewer", default=1000, show_default=True, type=click.IntRange(50), help="Rows to compare memory with.")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1), help="Timed runs of each.")
@click.option("--output", default="runs/benchmark/ingest.json", show_default=True, help="JSON to write.")
def main(images: int, fewer: int, repeats: int, output: str) -> None:
    """Measures, prints a table and writes the numbers."""
    if not pathlib.Path("/proc/self/status").exists():
        raise click.UsageError("This benchmark reads memory and processor time from Linux's /proc, which is not here.")
    with tempfile.TemporaryDirectory() as folder:
        record = compare(pathlib.Path(folder), images, fewer, repeats)
    for line in table(record):
        click.echo(line)
    with atomic_file(output) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode("utf-8"))
    click.echo(f"Written to {output}.")


def compare(folder: pathlib.Path, images: int, fewer: int, repeats: int) -> dict[str, Any]:
    """Measures runs of all kinds.

    Args:
        folder: where posters and records go.
        images: int. Rows of the timed runs.
        fewer: int. Rows of the other.
        repeats: int. Timed runs of each kind of workers.

    Returns:
        dict. `runs`, by kind and rows a list of what `measured` returns, with the machine's `load` before each; over
        `images`, `ratio` of the median times of one worker and of two, and `idle_ratio`, what it would be on two idle
        processors by the processor times alone; and what the machine is.
    """
    sources = {rows: write_posters(folder / f"source_{rows}", rows) for rows in (fewer, images)}
    runs: dict[str, dict[int, list[dict[str, float]]]] = {kind: {rows: [] for rows in sources} for kind in WORKERS}
    for turn in range(repeats):
        for rows, source in sources.items():
            for kind, beam_args in WORKERS.items():
                if turn and rows == fewer:
                    continue
                load = os.getloadavg()[0]
                # A process each: memory is counted from its start.
                with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                    out = folder / f"examples_{kind}_{rows}_{turn}"
                    run = pool.submit(measured, str(source), str(out), beam_args).result()
                if run["rows"] != rows:
                    raise RuntimeError(f"{rows} rows were to be read, {run['rows']} were.")
                runs[kind][rows].append({"load": load, **run})
                click.echo(f"{kind}, {rows} images: {run['seconds']:.0f} s")
    one, two = (
        {key: statistics.median(run[key] for run in runs[kind][images]) for key in ("seconds", "processor_seconds")}
        for kind in WORKERS
    )
    return {
        "images": images,
        "fewer": fewer,
        "processors": os.cpu_count(),
        "runs": {kind: {str(rows): of_rows for rows, of_rows in found.items()} for kind, found in runs.items()},
        "ratio": one["seconds"] / two["seconds"],
        # Where others work too, two processes have two shares of the machine.
        "idle_ratio": min(2.0, 2 * one["processor_seconds"] / two["processor_seconds"]),
    }


def measured(source: str, out: str, beam_args: tuple[str, ...]) -> dict[str, float]:
    """Runs the executor.

    Args:
        source: str. Folder of the posters.
        out: str. Folder of the examples.
        beam_args: tuple of str.

    Returns:
        dict with `rows`; `seconds`; `processor_seconds` of this process and its workers; `peak_bytes` of this process
        and `worker_peak_bytes` of the largest worker, 0 where it is this process.
    """
    # Here, so that no time is measured with it, and the process that starts this one does without.
    from tfx.types import standard_artifacts

    from components.artifact_types.files import INGEST_FILE
    from components.multimodal_example_gen.executor import Executor

    examples = standard_artifacts.Examples()
    examples.uri = out
    # As in `pipeline.config`: TFX would pack itself for workers elsewhere.
    context = Executor.Context(beam_pipeline_args=[*beam_args, "--sdk_container_image=unused"])
    properties = {
        "source": "mmimdb",
        "source_config": json.dumps({"data_root": source, "classes": list(_GENRES)}),
        "source_fingerprint": "",
    }
    started = time.perf_counter()
    with ProcessTree() as tree:
        Executor(context).Do({}, {"examples": [examples]}, properties)
    seconds = time.perf_counter() - started
    report = json.loads(pathlib.Path(out, INGEST_FILE).read_text(encoding="utf-8"))
    return {
        "rows": sum(report["rows"].values()),
        "seconds": seconds,
        "processor_seconds": tree.seconds,
        "peak_bytes": tree.peak_bytes,
        "worker_peak_bytes": tree.largest_worker_bytes,
    }


def write_posters(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Writes `split.json` and a poster and a JSON a movie, in the layout of MM-IMDB.

    Args:
        folder: made.
        number: int. Movies: 60, 10 and 30 % of them in train, dev and test.

    Returns:
        `folder`.
    """
    (folder / "dataset").mkdir(parents=True)
    posters = [_poster(seed) for seed in range(min(number, _POSTERS))]
    splits: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for movie in range(number):
        name = f"{movie + 1:07d}"
        splits[_SPLIT_OF[movie // 5 % 10]].append(name)
        plot = " ".join(f"word{(movie * step) % 9973}" for step in range(1, 91))
        content = {"title": f"Movie {movie}", "genres": [_GENRES[movie % 5]], "plot": [plot, "In short."]}
        (folder / "dataset" / f"{name}.json").write_text(json.dumps(content, indent=4), encoding="utf-8")
        (folder / "dataset" / f"{name}.jpeg").write_bytes(posters[movie % len(posters)])
    (folder / "split.json").write_text(json.dumps(splits), encoding="utf-8")
    return folder


def table(record: dict[str, Any]) -> list[str]:
    """The numbers in Markdown."""
    lines = [
        "| workers, images | time, s | processor time, s | images a second | peak memory: run | worker | load before |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, by_rows in record["runs"].items():
        for rows, runs in by_rows.items():
            median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
            worker = f"{median['worker_peak_bytes'] / 2**20:.0f} MiB" if median["worker_peak_bytes"] else "the same"
            lines.append(
                f"| {kind}, {rows} | {median['seconds']:.0f} | {median['processor_seconds']:.0f} "
                f"| {median['rows'] / median['seconds']:.0f} | {median['peak_bytes'] / 2**20:.0f} MiB | {worker} "
                f"| {', '.join(format(run['load'], '.1f') for run in runs)} |"
            )
    return [
        *lines,
        "",
        f"Two workers are {record['ratio']:.2f} times as fast on {record['processors']} processors under that load; by "
        f"the processor times it would be {record['idle_ratio']:.2f} times on two idle ones.",
    ]


def _poster(seed: int) -> bytes:
    """A JPEG with areas, shapes and grain, which compresses as a poster does."""
    generator = np.random.default_rng(seed)
    width, height = 256, int(generator.integers(340, 390))
    layers = [
        Image.fromarray(generator.integers(0, 256, (*size, 3), np.uint8)).resize((width, height), _SMOOTH)
        for size in ((12, 8), (height // 8, width // 8))
    ]
    areas, shapes = (np.asarray(layer, np.float32) for layer in layers)
    pixels = 0.75 * areas + 0.25 * shapes + generator.normal(0, 6, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
