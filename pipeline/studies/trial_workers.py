"""Trains trials in processes of their own, each with one thread."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from hfmnas_keras.plugins import plugins_in_use, use_plugins
from pipeline.studies.study_data import StudyData
from pipeline.studies.trial import Trial
from pipeline.studies.trial_store import FAILED, TrialStore

# Small products are not worth dividing: two processes of one thread train a demo's trials about four times as fast as
# one of two. And a process must not take all of a GPU's memory where others are to have a share.
_ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
_LOG = "workers.log"

# Keras and TensorFlow do not let go of all that a model took: a searched one of the demo leaves 0.7 GB behind. So a
# process trains no more than this many trials, and another takes over, which takes ten seconds.
TRIALS_A_PROCESS = 4

Job = tuple[Trial, StudyData]


def train_trials(jobs: Sequence[Job], store: TrialStore, workers: int) -> Iterator[tuple[Trial, dict[str, Any], float]]:
    """Trains trials, several at once, and yields each as it ends.

    Two trials of one search are not begun at the same time where there are others to do. A process that dies takes
    nothing with it but its trial, which is recorded as failed.

    Args:
        jobs: pairs of `Trial` and `StudyData`, in the order in which they are wanted.
        store: `TrialStore`.
        workers: int. Processes; 0 trains in this one.

    Yields:
        The trial, its record, and the seconds that it took now.
    """
    if not workers:
        from pipeline.studies.train_trial import train_trial

        for trial, data in jobs:
            started = time.monotonic()
            yield trial, train_trial(trial, data, store), time.monotonic() - started
        return
    pending = list(jobs)
    crew: list[_Worker] = []
    try:
        with _environment(_ENVIRONMENT):
            crew += [_Worker(store) for _ in range(min(workers, len(pending)))]
            for worker in crew:
                worker.begin(_next(pending, crew))
        while busy := {worker: worker.job for worker in crew if worker.job is not None}:
            ready = wait([worker.connection for worker in busy])
            for worker, (trial, _) in [(worker, job) for worker, job in busy.items() if worker.connection in ready]:
                seconds = time.monotonic() - worker.started
                try:
                    record = worker.connection.recv()
                # The second where it had not even read what it was sent.
                except (EOFError, ConnectionError):
                    record = _died(worker)
                    store.write(trial, record)
                worker.job = None
                yield trial, record, seconds
                if pending:
                    if worker.trials == TRIALS_A_PROCESS or not worker.process.is_alive():
                        worker.end()
                        with _environment(_ENVIRONMENT):
                            crew[crew.index(worker)] = worker = _Worker(store)
                    worker.begin(_next(pending, crew))
    finally:
        for worker in crew:
            worker.end()


class _Worker:
    """A process that trains one trial after another."""

    def __init__(self, store: TrialStore):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(theirs, store, plugins_in_use()), daemon=True)
        self.process.start()
        # Now the process alone has it, and its death ends the connection.
        theirs.close()
        self.job: Job | None = None
        self.started = 0.0
        self.trials = 0

    def begin(self, job: Job) -> None:
        self.job, self.started = job, time.monotonic()
        self.trials += 1
        # A process that is dead already: `train_trials` sees it when it waits for the answer.
        with contextlib.suppress(ConnectionError):
            self.connection.send(job)

    def end(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


def _work(connection: Connection, store: TrialStore, plugins: tuple[str, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    store.folder.mkdir(parents=True, exist_ok=True)
    # What libraries print past Python must not run into the study's own lines.
    with open(store.folder / _LOG, "ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    use_plugins(plugins)
    # All of the code before the first trial, not in the middle of one: files may change while a study runs.
    from pipeline.studies.train_trial import train_trial

    while True:
        try:
            trial, data = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        connection.send(train_trial(trial, data, store))


def _end_with_parent() -> None:
    """Leaves nobody at work whom nobody waits for: a trial goes on from its checkpoint when the study is run again."""
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(1)


def _next(pending: list[Job], crew: Sequence[_Worker]) -> Job:
    running = {worker.job[0].search_name for worker in crew if worker.job is not None} - {None}
    for position, (trial, _) in enumerate(pending):
        if trial.search_name not in running:
            return pending.pop(position)
    return pending.pop(0)


def _died(worker: _Worker) -> dict[str, Any]:
    worker.process.join()
    code = worker.process.exitcode or 0
    if code == -signal.SIGKILL:
        reason = "its process was killed (signal 9), often for want of memory. Fewer --workers need less."
    else:
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        reason = f"its process ended with {ended}. Its last words may be in {_LOG} beside the trials."
    return {"status": FAILED, "reason": reason}


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
