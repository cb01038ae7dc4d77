"""A finished run, after changes that change no result: everything is served from the cache."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml
from coloured_shapes import write_shapes
from conftest import TINY

from pipeline.run_summary import summarise_run
from tests import source_files

# Each differs from its default, and says how the work is done and not what comes out.
EXECUTION = {
    "search": {"devices": 1, "device_bytes": 1 << 30, "checkpoint_seconds": 5.0},
    "training": {"devices": 1, "device_bytes": 1 << 30},
}


def run(code: pathlib.Path, folder: pathlib.Path, **changes) -> list[str]:
    """Runs the pipeline by a copy of the code, in a process of its own; returns each stage's state."""
    content = {**TINY, "data": {"source": "manifest", "manifest": "shapes.jsonl"}}
    for part, settings in changes.items():
        content[part] = {**content[part], **settings}
    content["paths"] = {"root": str(folder / "run")}
    (folder / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, "-m", "pipeline.local_runner", "--config", str(folder / "run.yaml")],
        env={**os.environ, "PYTHONPATH": str(code)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return [f"{stage.name}: {stage.state}" for stage in summarise_run(folder / "run" / "metadata.sqlite").stages]


@pytest.mark.long
def test_a_comment_in_each_file_and_each_setting_of_execution_leave_all_in_the_cache(tmp_path):
    code = tmp_path / "code"
    for file in source_files.tracked_files():
        if file.relative_to(source_files.ROOT).parts[0] in ("hfmnas_keras", "components", "pipeline", "schemas"):
            copy = code / file.relative_to(source_files.ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    write_shapes(tmp_path)
    first = run(code, tmp_path)
    assert not any("cached" in stage for stage in first)
    for file in code.rglob("*.py"):
        with file.open("a", encoding="utf-8") as text:
            text.write("\n# A comment changes no result.\n")
    again = run(code, tmp_path, **EXECUTION)
    # What serves is looked up in each run.
    assert [stage for stage in again if not stage.endswith(": cached")] == ["LatestBlessedModel: complete"]
    # The code does count: a changed result is made anew, from the stage on that makes it.
    metric = code / "components" / "evaluator" / "evaluation.py"
    metric.write_text(metric.read_text(encoding="utf-8") + "\nCHANGED = 1\n", encoding="utf-8")
    changed = run(code, tmp_path)
    assert "Trainer: cached" in changed and "Evaluator: complete" in changed
