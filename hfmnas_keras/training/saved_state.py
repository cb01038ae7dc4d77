"""Saves and restores the exact state of a training loop in one file."""

from __future__ import annotations

import json
import os
import pathlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

_FORMAT = 1


class SavedState:
    """One `.npz` file with the values of variables, bit for bit, and a JSON record (no pickle).

    The file is written under another name and then renamed, so a reader finds the old state or the new one and
    never half of one. There is one file, so the disk use is bounded.

    Args:
        path: where the file lies; its folder is made when needed.
        fingerprint: JSON-able dict of all that must be equal for a resumed run to be the same run: settings,
            shapes and a hash of the data.
    """

    def __init__(self, path: str | os.PathLike, fingerprint: Mapping[str, Any]):
        self.path = pathlib.Path(path)
        # through JSON once, so that tuples and lists compare equal after reading
        self.fingerprint = json.loads(json.dumps(fingerprint))

    def exists(self) -> bool:
        return self.path.exists()

    def save(self, variables: Sequence[keras.Variable], record: Mapping[str, Any]) -> None:
        """Writes all variables and the JSON-able `record`."""
        header = {
            "format": _FORMAT,
            "fingerprint": self.fingerprint,
            "variables": _descriptions(variables),
            "record": record,
        }
        arrays = {f"variable_{i:05d}": ops.convert_to_numpy(variable) for i, variable in enumerate(variables)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(self.path.name + ".partial")
        with open(temporary, "wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)

    def record(self) -> dict[str, Any]:
        """The record alone; raises as `restore` does."""
        return self._read(with_arrays=False)[0]["record"]

    def restore(self, variables: Sequence[keras.Variable]) -> dict[str, Any]:
        """Assigns the saved values to the variables and returns the record.

        Raises:
            RuntimeError: when the file cannot be read.
            ValueError: when it is of another run: the message names what differs.
        """
        header, arrays = self._read(with_arrays=True)
        expected = _descriptions(variables)
        if header["variables"] != expected:
            pairs = zip(header["variables"], expected, strict=False)
            first = next(((old, new) for old, new in pairs if old != new), "their number")
            raise ValueError(
                f"{self.path} holds {len(header['variables'])} variables and this model has {len(expected)}; "
                f"the first difference: {first}. The code has changed since: remove the file to start anew."
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return header["record"]

    def _read(self, with_arrays: bool) -> tuple[dict[str, Any], list[np.ndarray]]:
        try:
            # Opened here: of a file that is no archive, NumPy would leave its own handle open.
            with self.path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                count = len(header["variables"]) if with_arrays else 0
                arrays = [file[f"variable_{i:05d}"] for i in range(count)]
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise RuntimeError(f"Cannot read the saved state {self.path}: {error}. Remove it to start anew.") from error
        if header.get("format") != _FORMAT:
            raise ValueError(
                f"{self.path} has format {header.get('format')}, expected {_FORMAT}. Remove it to start anew."
            )
        different = _differences(header["fingerprint"], self.fingerprint)
        if different:
            raise ValueError(
                f"{self.path} was saved by a run with other settings or data; it differs in: {'; '.join(different)}. "
                "Run with the same ones to resume, or remove the file (or name another folder) to start anew."
            )
        return header, arrays


def _descriptions(variables: Sequence[keras.Variable]) -> list[list[Any]]:
    # Names carry counters that depend on what the process built before ("dense_7"): a run that goes on in another
    # process must not fail for that.
    return [
        [re.sub(r"_\d+", "", v.path.split("/")[-1]), list(v.shape), keras.backend.standardize_dtype(v.dtype)]
        for v in variables
    ]


def _differences(saved: Any, expected: Any, name: str = "") -> list[str]:
    if isinstance(saved, dict) and isinstance(expected, dict):
        found = []
        for key in sorted(saved.keys() | expected.keys()):
            found += _differences(saved.get(key), expected.get(key), f"{name}.{key}" if name else key)
        return found
    return [] if saved == expected else [f"{name} (saved {saved!r}, now {expected!r})"]
