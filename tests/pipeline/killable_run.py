"""Runs of the pipeline in processes of their own that start in a moment, to be killed."""

from __future__ import annotations

import multiprocessing
import os
import pathlib
import re
import sys
import time

# Imports once what each process needs.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pipeline.local_runner", "pipeline.definition", "pipeline.run_summary"])


class KillableRun:
    """A run at work.

    Args:
        config_path: file of its configuration.
    """

    def __init__(self, config_path: pathlib.Path):
        self._shown = config_path.with_suffix(".shown")
        self._shown.write_text("", encoding="utf-8")
        self._process = CONTEXT.Process(target=_run, args=(str(config_path), str(self._shown)))
        self._process.start()

    @property
    def text(self) -> str:
        """What it has shown."""
        return self._shown.read_text(encoding="utf-8", errors="replace")

    def stages(self) -> list[str]:
        """Those that it has begun, in their order."""
        return re.findall(r"^\[ *\d+/\d+\] (\w+)", self.text, re.MULTILINE)

    def kill_in(self, stage: str, seconds: float) -> bool:
        """Kills it so long after a stage began, and says whether it was still at work."""
        while self._process.is_alive() and stage not in self.stages():
            time.sleep(0.02)
        self._process.join(seconds)
        self._process.kill()
        self._process.join()
        return self._process.exitcode == -9

    def end(self) -> int | None:
        """Waits for its end and returns its code."""
        self._process.join()
        return self._process.exitcode


def _run(config_path: str, shown: str) -> None:
    from pipeline.config_file import load_config
    from pipeline.local_runner import run

    # Beam reads the command line.
    sys.argv[1:] = []
    file = os.open(shown, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.exit(run(load_config(config_path)))
