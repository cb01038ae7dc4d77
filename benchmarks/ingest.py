"""What the ingest takes for a picture, and what a corrected label costs: `python -m benchmarks.ingest`.

Posters of 300 x 440 with plots and a manifest, made here, are read by the executor of `MultimodalExampleGen` in a
process of its own. One label is corrected then, and they are read again, beside the first run's examples as in a
pipeline's folder. Right before, the same process decodes the same posters by Pillow alone: on a machine that others use
too, the ratio of both is the number to trust. Times are those of the executor, the start of its workers with it and the
import of TFX in front of it without; processor time is of the process and all that it starts, from Linux's `/proc`.
"""

from __future__ import annotations

import concurrent.futures
import io
import json
import multiprocessing
import os
import pathlib
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

_GENRES = ("Drama", "Comedy", "Horror", "Western", "Film-Noir")
_SPLIT_OF = ("train",) * 6 + ("dev",) + ("test",) * 3
_SMOOTH = Image.Resampling.BICUBIC
_SIZE = (300, 440)
#: A different poster each would take longer to make than to read.
_POSTERS = 200


@click.command(help="Times the ingest of posters, and of the same ones after one corrected label.")
@click.option("--images", default=5000, show_default=True, type=click.IntRange(50), help="Posters.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Beam's worker processes.")
@click.option("--output", default="runs/benchmark/ingest.json", show_default=True, help="JSON to write.")
def main(images: int, workers: int, output: str) -> None:
    """Measures, prints a table and writes the numbers."""
    if not pathlib.Path("/proc/self/status").exists():
        raise click.UsageError("This benchmark reads memory and processor time from Linux's /proc, which is not here.")
    with tempfile.TemporaryDirectory() as folder:
        record = measure(pathlib.Path(folder), images, workers)
    for line in table(record):
        click.echo(line)
    with atomic_file(output) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode("utf-8"))
    click.echo(f"Written to {output}.")


def measure(folder: pathlib.Path, images: int, workers: int) -> dict[str, Any]:
    """Measures both runs.

    Args:
        folder: where posters and examples go.
        images: int. Posters.
        workers: int. Beam's worker processes.

    Returns:
        dict. `images`, `workers`, `processors`, `jpeg_bytes`; what `measured` returns under `first` and `second`;
        `milliseconds` of processor time a picture of the first run, `decode_milliseconds` of Pillow alone,
        `bytes_ratio` of examples and posters, and `second_share` and `second_processor_share`, what the second run
        takes of the first's time and processor time.
    """
    manifest = write_posters(folder / "source", images)
    runs = []
    for turn in ("first", "second"):
        # A process each: its memory is counted from its start.
        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            out = folder / "examples" / str(len(runs) + 1)
            run = pool.submit(measured, str(manifest), str(out), beam_args(workers)).result()
        if run["rows"] != images:
            raise RuntimeError(f"{images} rows were to be read, {run['rows']} were.")
        runs.append(run)
        click.echo(f"The {turn} run: {run['seconds']:.1f} s.")
        correct_a_label(manifest)
    first, second = runs
    jpeg_bytes = sum(path.stat().st_size for path in (manifest.parent / "posters").iterdir())
    return {
        "images": images,
        "workers": workers,
        "processors": os.cpu_count(),
        "jpeg_bytes": jpeg_bytes,
        "first": first,
        "second": second,
        "milliseconds": 1000 * first["processor_seconds"] / images,
        "decode_milliseconds": first["decode_milliseconds"],
        "bytes_ratio": first["example_bytes"] / jpeg_bytes,
        "second_share": second["seconds"] / first["seconds"],
        "second_processor_share": second["processor_seconds"] / first["processor_seconds"],
    }


def beam_args(workers: int) -> list[str]:
    """`beam_args` of a configuration, for so many worker processes."""
    mode = "in_memory" if workers == 1 else "multi_processing"
    # As in `pipeline.config`: TFX would pack itself for workers elsewhere.
    return [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}", "--sdk_container_image=unused"]


def measured(manifest: str, out: str, beam_args: list[str]) -> dict[str, float]:
    """Decodes the posters by Pillow, then runs the executor.

    Args:
        manifest: str. The manifest of the posters.
        out: str. Folder of the examples.
        beam_args: list of str.

    Returns:
        dict with `rows`; `example_bytes`; `decode_milliseconds` a picture; of the executor `seconds`,
        `processor_seconds` of this process and its workers, `peak_bytes` of this process and `worker_peak_bytes` of
        the largest process that it started.
    """
    # Here, so that no time is measured with it, and the process that starts this one does without.
    from tfx.types import standard_artifacts

    from components.artifact_types.files import INGEST_FILE
    from components.code_fingerprint import CODE_FINGERPRINT, code_fingerprint
    from components.multimodal_example_gen.executor import CODE, Executor

    examples = standard_artifacts.Examples()
    examples.uri = out
    context = Executor.Context(beam_pipeline_args=beam_args)
    properties = {
        "source": "manifest",
        "source_config": json.dumps({"manifest": manifest, "classes": list(_GENRES)}),
        "source_fingerprint": "",
        # A pipeline has it when its stages begin.
        CODE_FINGERPRINT: code_fingerprint(*CODE),
    }
    decode_milliseconds = _decoding_alone(pathlib.Path(manifest).parent / "posters")
    started = time.perf_counter()
    with ProcessTree() as tree:
        Executor(context).Do({}, {"examples": [examples]}, properties)
        seconds = time.perf_counter() - started
    report = json.loads(pathlib.Path(out, INGEST_FILE).read_text(encoding="utf-8"))
    return {
        "rows": sum(report["rows"].values()),
        "example_bytes": sum(path.stat().st_size for path in pathlib.Path(out).glob("Split-*/*")),
        "decode_milliseconds": decode_milliseconds,
        "seconds": seconds,
        "processor_seconds": tree.seconds,
        "peak_bytes": tree.peak_bytes,
        "worker_peak_bytes": tree.largest_worker_bytes,
    }


def write_posters(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Writes posters and a manifest with plots.

    Args:
        folder: made.
        number: int. Rows: 60, 10 and 30 % of them in train, dev and test.

    Returns:
        The manifest's path.
    """
    (folder / "posters").mkdir(parents=True)
    posters = [_poster(seed) for seed in range(min(number, _POSTERS))]
    lines = []
    for row in range(number):
        image = f"posters/{row:06d}.jpeg"
        plot = " ".join(f"word{(row * step) % 9973}" for step in range(1, 91))
        record = {"id": str(row), "split": _SPLIT_OF[row // 5 % 10], "text": plot, "image": image}
        lines.append(json.dumps({**record, "label": _GENRES[row % 5]}))
        (folder / image).write_bytes(posters[row % len(posters)])
    manifest = folder / "posters.jsonl"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def correct_a_label(manifest: pathlib.Path) -> None:
    """Gives the first row of a manifest its neighbour's label."""
    first, second, *others = manifest.read_text(encoding="utf-8").splitlines()
    corrected = json.dumps({**json.loads(first), "label": json.loads(second)["label"]})
    manifest.write_text("\n".join([corrected, second, *others]) + "\n", encoding="utf-8")


def table(record: dict[str, Any]) -> list[str]:
    """The numbers in Markdown."""
    first, second = record["first"], record["second"]
    ratio = record["milliseconds"] / record["decode_milliseconds"]
    return [
        "| run | time, s | processor time, s | a picture, ms | peak memory: run | largest process |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {name} | {run['seconds']:.1f} | {run['processor_seconds']:.1f} "
            f"| {1000 * run['processor_seconds'] / record['images']:.2f} "
            f"| {run['peak_bytes'] / 2**20:.0f} MiB | {run['worker_peak_bytes'] / 2**20:.0f} MiB |"
            for name, run in (("all pictures", first), ("one corrected label", second))
        ),
        "",
        f"{record['images']} pictures, {record['workers']} worker(s). Pillow alone decodes one in "
        f"{record['decode_milliseconds']:.2f} ms; the ingest takes {ratio:.1f} times as long.",
        f"Examples have {first['example_bytes'] / 2**20:.0f} MiB for {record['jpeg_bytes'] / 2**20:.0f} MiB of JPEG "
        f"({record['bytes_ratio']:.2f} times).",
        f"After one corrected label the run takes {record['second_share']:.1%} of the time and "
        f"{record['second_processor_share']:.1%} of the processor time.",
    ]


def _decoding_alone(folder: pathlib.Path) -> float:
    """Milliseconds of processor time a picture, for Pillow alone."""
    files = sorted(folder.iterdir())[:1000]
    started = time.process_time()
    for file in files:
        with Image.open(io.BytesIO(file.read_bytes())) as picture:
            picture.convert("RGB")
    return 1000 * (time.process_time() - started) / len(files)


def _poster(seed: int) -> bytes:
    """A JPEG with areas, shapes and grain, which compresses as a poster does."""
    generator = np.random.default_rng(seed)
    width, height = _SIZE
    layers = [
        Image.fromarray(generator.integers(0, 256, (*size, 3), np.uint8)).resize(_SIZE, _SMOOTH)
        for size in ((12, 8), (height // 8, width // 8))
    ]
    areas, shapes = (np.asarray(layer, np.float32) for layer in layers)
    pixels = 0.75 * areas + 0.25 * shapes + generator.normal(0, 6, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
