"""The files of trained trials."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pathlib
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hfmnas_keras.atomic_file import atomic_file
from pipeline.studies.trial import Trial

FINISHED, FAILED = "finished", "failed"


class TrialStore:
    """A folder of trials that all studies share.

    Of a finished trial there are `<name>.json`, its record, `<name>.npz`, what it predicted for the test rows (no
    pickle), and `<name>.log`, what it printed. The record comes last: a trial that has one is whole. Checkpoints lie in
    `<name>.work/` until then. Searches, which trials may share, have the same in `searches/`.

    Args:
        folder: made when needed.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)

    def read(self, trial: Trial) -> dict[str, Any] | None:
        """The record of a trial; `None` when there is none, or one of other settings.

        A name tells the settings that are not the defaults; the record has all, so that one from before a default
        changed is not taken for this trial's.
        """
        record = _read_json(self._path(trial, ".json"))
        if record is None or not _agree(record.get("settings"), trial.settings()):
            return None
        return record

    def read_predictions(self, trial: Trial) -> dict[str, np.ndarray]:
        """`ids`, `labels` and `probabilities` of the test rows, and the model's `thresholds`.

        Raises:
            RuntimeError: when the file is missing or damaged.
        """
        path = self._path(trial, ".npz")
        try:
            # Opened here: of a file that is no archive, NumPy would leave its own handle open.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in ("ids", "labels", "probabilities", "thresholds")}
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise RuntimeError(
                f"{path} cannot be read: {error}. Remove {path.stem}.json beside it to train the trial again."
            ) from error

    def write(
        self, trial: Trial, record: Mapping[str, Any], predictions: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Writes a trial, its record last, and removes its checkpoints."""
        if predictions is not None:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **predictions)
            with atomic_file(self._path(trial, ".npz")) as file:
                file.write(buffer.getvalue())
        _write_json(self._path(trial, ".json"), {**record, "settings": trial.settings()})
        if record["status"] == FINISHED:
            shutil.rmtree(self.work_folder(trial), ignore_errors=True)

    def remove(self, trial: Trial) -> None:
        """Forgets a trial and, of a searched one, its search."""
        self._path(trial, ".json").unlink(missing_ok=True)
        shutil.rmtree(self.work_folder(trial), ignore_errors=True)
        if trial.search_name is not None:
            self._search_path(trial).unlink(missing_ok=True)
            shutil.rmtree(self.search_work_folder(trial), ignore_errors=True)

    def read_search(self, trial: Trial) -> dict[str, Any] | None:
        """The record of the search of a trial."""
        record = _read_json(self._search_path(trial))
        if record is None or not _agree(record.get("settings"), trial.search_settings()):
            return None
        return record

    def write_search(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """Writes a search and removes its checkpoints."""
        _write_json(self._search_path(trial), {**record, "settings": trial.search_settings()})
        shutil.rmtree(self.search_work_folder(trial), ignore_errors=True)

    def work_folder(self, trial: Trial) -> pathlib.Path:
        """Folder of the checkpoints of the training."""
        return self._path(trial, ".work")

    def search_work_folder(self, trial: Trial) -> pathlib.Path:
        """Folder of the checkpoints of the search."""
        return self._search_path(trial).with_suffix(".work")

    def log_path(self, trial: Trial) -> pathlib.Path:
        """File of what the trial prints."""
        return self._path(trial, ".log")

    @contextlib.contextmanager
    def sole_use(self, name: str) -> Iterator[None]:
        """Waits until no other process is at work on the trial or search of this name."""
        path = self.folder / "locks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _path(self, trial: Trial, suffix: str) -> pathlib.Path:
        return self.folder / f"{trial.name}{suffix}"

    def _search_path(self, trial: Trial) -> pathlib.Path:
        return self.folder / "searches" / f"{trial.search_name}.json"


def _agree(recorded: Any, settings: Any) -> bool:
    """Whether two settings say the same where both say something."""
    if isinstance(recorded, dict) and isinstance(settings, dict):
        return all(_agree(recorded[key], settings[key]) for key in recorded.keys() & settings.keys())
    return recorded == settings


def _read_json(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RuntimeError(f"{path} is damaged: {error}. Remove it to train the trial again.") from error
    return content if isinstance(content, dict) else None


def _write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    with atomic_file(path) as file:
        file.write(json.dumps(content, indent=1).encode("utf-8") + b"\n")
