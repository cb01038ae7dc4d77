"""Turns TFX's log into what a person wants to see of a local run."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

from pipeline.failure import is_own_file

_RUNNING = re.compile(r"Component (\S+) is running\.$")
_FINISHED = re.compile(r"Component (\S+) is finished\.$")
_CACHED = re.compile(r"A cached execution \d+ is used\.$")


class StageLog(logging.Handler):
    """A log handler that prints one line as each stage starts and ends, and our own code's messages between them.

    TFX logs hundreds of lines for a small run. They all go to a file; of them only errors are shown.

    Args:
        show: callable that prints a line.
        num_stages: int. Stages of the pipeline, for the count at the start of a line.
    """

    def __init__(self, show: Callable[[str], None], num_stages: int):
        super().__init__(level=logging.INFO)
        self._show = show
        self._num_stages = num_stages
        self.stage = "The start"
        self._position = 0
        self._started = time.monotonic()
        self._cached = False

    def emit(self, record: logging.LogRecord) -> None:
        """Shows `record` if it is one that a person waits for."""
        message = record.getMessage()
        if running := _RUNNING.match(message):
            self._position += 1
            self.stage = running.group(1)
            self._started = time.monotonic()
            self._cached = False
            self._show(f"[{self._position:2d}/{self._num_stages}] {running.group(1)} ...")
        elif _CACHED.match(message):
            self._cached = True
        elif finished := _FINISHED.match(message):
            took = "from cache" if self._cached else f"{time.monotonic() - self._started:.1f} s"
            self._show(f"        {finished.group(1)}: {took}")
        elif record.levelno >= logging.ERROR or is_own_file(record.pathname):
            prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
            self._show(f"        {prefix}{message}")
