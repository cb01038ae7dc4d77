"""The benchmark of ingest: its data are MM-IMDB's layout, and what it counts is what a process took."""

import io
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("apache_beam", reason="needs the extra `pipeline`")

from benchmarks.ingest import WORKERS, main, table, write_posters
from benchmarks.process_tree import ProcessTree
from components.multimodal_example_gen.sources.mmimdb_source import MmimdbSource

BURN = "import time; held = b'x' * (200 << 20)\nwhile time.process_time() < 1.0: pass"

ALONE = """
from benchmarks.process_tree import ProcessTree
with ProcessTree() as alone:
    pass
assert alone.largest_worker_bytes == 0 and alone.seconds < 1 and alone.peak_bytes > 5 << 20, vars(alone)
"""


def test_posters_are_read_as_mm_imdb(tmp_path):
    source = MmimdbSource(str(write_posters(tmp_path / "mmimdb", 50)))
    listing = source.read()
    assert not listing.skipped and len(listing.rows) == 50
    assert {row.split for row in listing.rows} == {"train", "dev", "test"}
    jpegs = list((tmp_path / "mmimdb" / "dataset").glob("*.jpeg"))
    assert 20_000 < sum(path.stat().st_size for path in jpegs) / len(jpegs) < 35_000
    assert Image.open(io.BytesIO(source.image(listing.rows[0]))).width == 256


def test_a_process_tree_counts_its_descendants():
    with ProcessTree() as tree:
        # By a shell, as Beam starts its workers.
        subprocess.run(["sh", "-c", f'{sys.executable} -c "{BURN}"; true'], check=True)
    assert 200 << 20 < tree.largest_worker_bytes < 300 << 20
    assert 0.8 < tree.seconds < 3
    # A process of its own: this one may still have a child of another test.
    subprocess.run([sys.executable, "-c", ALONE], check=True)


def test_table():
    run = {"load": 1.5, "rows": 5000, "seconds": 200.0, "processor_seconds": 150.0}
    memory = {"peak_bytes": 700 << 20, "worker_peak_bytes": 0}
    record = {"processors": 2, "ratio": 1.7, "idle_ratio": 1.8, "runs": {"one worker": {"5000": [{**run, **memory}]}}}
    lines = table(record)
    assert "| one worker, 5000 | 200 | 150 | 25 | 700 MiB | the same | 1.5 |" in lines
    assert "1.70 times as fast on 2 processors" in lines[-1] and "would be 1.80 times" in lines[-1]


@pytest.mark.long
def test_both_kinds_of_workers_are_measured(tmp_path):
    output = tmp_path / "folder" / "ingest.json"
    arguments = ["--images", "100", "--fewer", "50", "--repeats", "1", "--output", str(output)]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    record = json.loads(output.read_text(encoding="utf-8"))
    assert set(record["runs"]) == set(WORKERS)
    for kind, by_rows in record["runs"].items():
        for rows, (run,) in by_rows.items():
            assert run["rows"] == int(rows) and run["seconds"] > 0 and run["processor_seconds"] > 0
            assert (run["worker_peak_bytes"] > 0) == (kind == "two workers")
