"""The benchmark of ingest: its data are a usual manifest, and what it counts is what a process took."""

import io
import json
import subprocess
import sys
from collections import Counter

import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("apache_beam", reason="needs the extra `pipeline`")

from benchmarks.ingest import correct_a_label, main, table, write_posters
from benchmarks.process_tree import ProcessTree
from components.multimodal_example_gen.sources.manifest_source import ManifestSource

BURN = "import time; held = b'x' * (200 << 20)\nwhile time.process_time() < 1.0: pass"

ALONE = """
from benchmarks.process_tree import ProcessTree
with ProcessTree() as alone:
    pass
assert alone.largest_worker_bytes == 0 and alone.seconds < 1 and alone.peak_bytes > 5 << 20, vars(alone)
"""


def test_posters_and_a_corrected_label(tmp_path):
    manifest = write_posters(tmp_path / "source", 50)
    source = ManifestSource(str(manifest))
    before = source.read()
    assert not before.skipped and Counter(row.split for row in before.rows) == {"train": 30, "dev": 5, "test": 15}
    jpegs = list((tmp_path / "source" / "posters").iterdir())
    assert 30_000 < sum(path.stat().st_size for path in jpegs) / len(jpegs) < 45_000
    assert Image.open(io.BytesIO(source.image(before.rows[0]))).size == (300, 440)
    correct_a_label(manifest)
    changed = [new for old, new in zip(before.rows, source.read().rows, strict=True) if old != new]
    assert [(row.id, row.labels) for row in changed] == [("0", ("Comedy",))]


def test_a_process_tree_counts_its_descendants():
    with ProcessTree() as tree:
        # By a shell, as Beam starts its workers.
        subprocess.run(["sh", "-c", f'{sys.executable} -c "{BURN}"; true'], check=True)
    assert 200 << 20 < tree.largest_worker_bytes < 300 << 20
    assert 0.8 < tree.seconds < 3
    # A process of its own: this one may still have a child of another test.
    subprocess.run([sys.executable, "-c", ALONE], check=True)


def test_table():
    run = {"seconds": 20.0, "processor_seconds": 15.0, "peak_bytes": 700 << 20, "worker_peak_bytes": 40 << 20}
    record = {
        "images": 5000,
        "workers": 1,
        "jpeg_bytes": 100 << 20,
        "first": {**run, "example_bytes": 110 << 20},
        "second": {**run, "seconds": 1.0, "processor_seconds": 1.2},
        "milliseconds": 3.0,
        "decode_milliseconds": 0.75,
        "bytes_ratio": 1.1,
        "second_share": 0.05,
        "second_processor_share": 0.08,
    }
    lines = table(record)
    assert "| all pictures | 20.0 | 15.0 | 3.00 | 700 MiB | 40 MiB |" in lines
    assert "takes 4.0 times as long" in lines[-3] and "(1.10 times)" in lines[-2]
    assert "5.0% of the time and 8.0% of the processor time" in lines[-1]


@pytest.mark.long
def test_both_runs_are_measured(tmp_path):
    output = tmp_path / "folder" / "ingest.json"
    result = CliRunner().invoke(main, ["--images", "300", "--output", str(output)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    record = json.loads(output.read_text(encoding="utf-8"))
    assert record["first"]["rows"] == record["second"]["rows"] == 300
    assert record["milliseconds"] > 0 and 1 < record["bytes_ratio"] < 1.2 and record["second_share"] < 1
