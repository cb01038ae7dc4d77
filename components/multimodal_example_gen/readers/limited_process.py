"""Runs what meets bytes of strangers in C code in a process of its own: it may crash, hang or want all memory there.

This file is both sides. `ask` starts it as a script, which loads one file of plain functions and serves its `answer`.
It imports nothing of this project, so that a process starts in a fraction of a second.

A request is a line of JSON on standard input, the arguments of `answer`. The answer on standard output is a line of
JSON, an object that has under `sizes` how many bytes of each part follow it. Nothing is unpickled: whoever takes over
the process by a broken file can send other values, which the asking side checks, but nothing that runs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import threading
from typing import IO, Any, cast

#: The line of an answer; all that is large comes in parts behind it.
MAX_LINE_BYTES = 1 << 20
#: A process that is not asked for so long ends itself: the stages after the ingest take hours, on the same machine.
MAX_IDLE_SECONDS = 60

# Processes of a thread: Beam runs several threads in a worker, and answers must not get mixed up.
_LOCAL = threading.local()


class ProcessDiedError(Exception):
    """The process ended without an answer, twice; the message says by what."""


class ProcessStalledError(Exception):
    """The process gave no answer in time and was ended; the message says after how long."""


class _NoAnswerError(Exception):
    """What came is not an answer."""


def ask(file: str, request: dict[str, Any], max_seconds: float, max_memory: int) -> tuple[dict[str, Any], list[bytes]]:
    """Asks this thread's process of a file; starts one where there is none.

    Args:
        file: str. Python file with a function `answer(**request)`, which returns a dictionary for JSON and a list of
            bytes. What it remembers from request to request must not matter: another process may get the next one.
        request: dict, for JSON.
        max_seconds: float. After so long without the answer the process is given up.
        max_memory: int. Bytes of address space that the process may take.

    Returns:
        dict and list of bytes: what `answer` returned. To be checked, not to be trusted.

    Raises:
        ProcessDiedError: when the process dies of the request.
        ProcessStalledError: when there is no answer in time.
    """
    try:
        return _asked(file, request, max_seconds, max_memory)
    except ProcessDiedError:
        # The system may have ended it for want of memory. If it is the request, it will happen again.
        return _asked(file, request, max_seconds, max_memory)


def stop() -> None:
    """Ends this thread's processes. They also end with the thread, with this process, and when they are not asked."""
    _processes().stop()


class _Processes(dict[tuple[Any, ...], subprocess.Popen[bytes]]):
    """The processes of a thread."""

    def stop(self) -> None:
        while self:
            _, process = self.popitem()
            _end(process)

    def __del__(self) -> None:
        # The thread has ended. Python itself keeps what still runs, with its pipes open, so that it would never end.
        self.stop()


def _processes() -> _Processes:
    if not hasattr(_LOCAL, "processes"):
        _LOCAL.processes = _Processes()
    return _LOCAL.processes


def _asked(
    file: str, request: dict[str, Any], max_seconds: float, max_memory: int
) -> tuple[dict[str, Any], list[bytes]]:
    # A fork of this process must not share the pipes.
    key = (os.getpid(), file, max_seconds, max_memory)
    # Put back after a whole answer alone: the rest of another would be taken for the next one's.
    process = _processes().pop(key, None)
    if process is None or process.poll() is not None:
        if process is not None:
            _end(process)
        process = _started(file, max_seconds, max_memory)
    requests, answers = _pipes(process)
    late = threading.Event()

    def give_up() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(max_seconds, give_up)
    timer.daemon = True
    timer.start()
    answer, cause = None, ""
    try:
        # It may have died before it was asked.
        with contextlib.suppress(BrokenPipeError):
            requests.write(json.dumps(request).encode() + b"\n")
            requests.flush()
        answer = _received(answers, max_memory)
        if answer is None:
            process.wait()
    except _NoAnswerError as error:
        cause = str(error)
    finally:
        timer.cancel()
        if answer is None:
            code = _end(process)
    if late.is_set():
        _end(process)
        raise ProcessStalledError(f"more than {max_seconds:g} seconds")
    if answer is None:
        raise ProcessDiedError(cause or (signal.Signals(-code).name if code < 0 else f"exit code {code}"))
    _processes()[key] = process
    return answer


def _started(file: str, max_seconds: float, max_memory: int) -> subprocess.Popen[bytes]:
    # Its standard input ends with this process, and it then ends too.
    return subprocess.Popen(
        [sys.executable, __file__, file, str(max_seconds), str(max_memory), str(MAX_IDLE_SECONDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Each thread of numpy's algebra, which nothing here needs, takes address space.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Its standard input and output, which `_started` made pipes."""
    return cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)


def _end(process: subprocess.Popen[bytes]) -> int:
    process.kill()
    code = process.wait()
    requests, answers = _pipes(process)
    with contextlib.suppress(BrokenPipeError):
        requests.close()
    answers.close()
    return code


def _received(stream: IO[bytes], max_bytes: int) -> tuple[dict[str, Any], list[bytes]] | None:
    """Returns an answer and its parts, or None where the stream ends before."""
    line = stream.readline(MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        if len(line) == MAX_LINE_BYTES:
            raise _NoAnswerError(f"an answer whose first line has more than {MAX_LINE_BYTES} bytes")
        return None
    try:
        answer = json.loads(line)
        sizes = answer.pop("sizes")
        is_good = all(type(size) is int and size >= 0 for size in sizes) and sum(sizes) <= max_bytes
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        is_good = False
    if not is_good:
        raise _NoAnswerError("an answer that is none")
    parts = [stream.read(size) for size in sizes]
    return (answer, parts) if [len(part) for part in parts] == sizes else None


def _serve(file: str, max_seconds: float, max_memory: int, max_idle_seconds: int) -> None:
    """Answers requests until there are no more, or none for so long."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not get into the answers.
    os.dup2(2, 1)
    _limit("RLIMIT_AS", max_memory)
    _limit("RLIMIT_CORE", 0)
    spec = importlib.util.spec_from_file_location(os.path.basename(file).removesuffix(".py"), file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no module.")
    served = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(served)
    _alarm(max_idle_seconds)
    for request in requests:
        _alarm(0)
        # Also where the asking side is killed, and nobody gives up a process that hangs.
        used = os.times()
        _limit("RLIMIT_CPU", math.ceil(used.user + used.system + max_seconds) + 1)
        answer, parts = served.answer(**json.loads(request))
        answers.write(json.dumps({**answer, "sizes": [len(part) for part in parts]}).encode() + b"\n")
        answers.writelines(parts)
        answers.flush()
        _alarm(max_idle_seconds)


def _alarm(seconds: int) -> None:
    """Ends this process after so long, where the system can; 0 takes it back."""
    with contextlib.suppress(AttributeError):
        signal.alarm(seconds)


def _limit(name: str, value: int) -> None:
    """Sets a limit of this process, where the system has it."""
    with contextlib.suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        number = getattr(resource, name)
        resource.setrlimit(number, (value, resource.getrlimit(number)[1]))


if __name__ == "__main__":
    # The folder of this file is no place to import from: its names are not meant for others.
    del sys.path[0]
    _serve(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
