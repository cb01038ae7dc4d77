"""What a process and those it starts take: processor time and peak memory, read from Linux's `/proc`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import threading
from types import TracebackType

_SECONDS_BETWEEN = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class _Seen:
    parent: int
    seconds: float
    peak_bytes: int


class ProcessTree:
    """Watches this process and its descendants while it is entered.

    Processes that live for less than a tenth of a second may be missed; of the others nothing but their last tenth.

    Attributes:
        seconds: float. Processor time of this process and of all its descendants, while it was entered.
        peak_bytes: int. Peak resident memory of this process since its start.
        largest_worker_bytes: int. Largest peak of a descendant; 0 where there is none.
    """

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ProcessTree:
        self._look()
        self._before = {number: one.seconds for number, one in self._seen.items()}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        own = os.getpid()
        self.seconds = sum(one.seconds - self._before.get(number, 0.0) for number, one in self._seen.items())
        self.peak_bytes = self._seen[own].peak_bytes
        self.largest_worker_bytes = max(
            (one.peak_bytes for number, one in self._seen.items() if number != own), default=0
        )

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS_BETWEEN):
            self._look()

    def _look(self) -> None:
        processes = {}
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            # It may end while it is looked at.
            with contextlib.suppress(OSError, ValueError, IndexError):
                processes[int(folder.name)] = _read(folder)
        family = {os.getpid()}
        while grown := {number for number, one in processes.items() if one.parent in family} - family:
            family |= grown
        for number in family & set(processes):
            peak = max(processes[number].peak_bytes, self._seen[number].peak_bytes if number in self._seen else 0)
            self._seen[number] = dataclasses.replace(processes[number], peak_bytes=peak)


def _read(folder: pathlib.Path) -> _Seen:
    # Behind the command, which may hold anything: state, parent, ..., user and system time at 11 and 12.
    fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    status = (folder / "status").read_text(encoding="utf-8", errors="replace")
    peak = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    return _Seen(int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS, peak)
