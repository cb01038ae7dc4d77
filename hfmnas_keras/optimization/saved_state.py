"""Saves and restores the exact state of a training loop in one file."""

from __future__ import annotations

import json
import os
import pathlib
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging
from keras import ops

_FORMAT = 1


class SavedState:
    """One `.npz` file with the values of variables, bit for bit, and a JSON record (no pickle).

    The file is written under another name and then renamed, so a reader finds the old state or the new one and
    never half of one. The state before it stays beside it (`search.previous.npz`): a disk that damages the last file
    costs the steps since the one before, told by a warning. Two files, so the disk use is bounded.

    Args:
        path: where the last state lies; its folder is made when needed.
        fingerprint: JSON-able dict of all that must be equal for a resumed run to be the same run: settings,
            shapes and a hash of the data.
    """

    def __init__(self, path: str | os.PathLike, fingerprint: Mapping[str, Any]):
        self.path = pathlib.Path(path)
        self.previous_path = self.path.with_name(f"{self.path.stem}.previous{self.path.suffix}")
        self._last_is_damaged = False
        # through JSON once, so that tuples and lists compare equal after reading
        self.fingerprint = json.loads(json.dumps(fingerprint))

    def exists(self) -> bool:
        # A kill between the two renames of `save` leaves the previous state alone.
        return self.path.exists() or self.previous_path.exists()

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
        # A damaged file must not take the place of the good one before it.
        if self.path.exists() and not self._last_is_damaged:
            os.replace(self.path, self.previous_path)
        os.replace(temporary, self.path)
        self._last_is_damaged = False

    def record(self) -> dict[str, Any]:
        """The record alone; raises as `restore` does."""
        return self._read()[0]["record"]

    def restore(self, variables: Sequence[keras.Variable]) -> dict[str, Any]:
        """Assigns the saved values to the variables and returns the record.

        Raises:
            RuntimeError: when neither the last state nor the one before can be read.
            ValueError: when it is of another run: the message names what differs.
        """
        header, arrays = self._read()
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

    def _read(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Header and arrays of the last state that can be read and is of this run."""
        errors = []
        for path in (self.path, self.previous_path):
            try:
                header, arrays = _read_archive(path)
            except FileNotFoundError:
                continue
            except _UNREADABLE as error:
                errors.append(f"{path} ({error})")
                continue
            self._last_is_damaged = bool(errors)
            if errors:
                logging.warning("Cannot read the saved state %s; going on from the one before, %s.", errors[0], path)
            self._check_header(path, header)
            return header, arrays
        raise RuntimeError(
            f"Cannot read the saved state: {' and '.join(errors) or f'there is no {self.path}'}. "
            f"Remove {self.path.parent} to start anew."
        )

    def _check_header(self, path: pathlib.Path, header: dict[str, Any]) -> None:
        if header.get("format") != _FORMAT:
            raise ValueError(f"{path} has format {header.get('format')}, expected {_FORMAT}. Remove it to start anew.")
        different = _differences(header["fingerprint"], self.fingerprint)
        if different:
            raise ValueError(
                f"{path} was saved by a run with other settings or data; it differs in: {'; '.join(different)}. "
                "Run with the same ones to resume, or remove the file (or name another folder) to start anew."
            )


# All that `zipfile` and NumPy raise on bytes that are no archive of arrays.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    OverflowError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def _read_archive(path: pathlib.Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    # Opened here: of a file that is no archive, NumPy would leave its own handle open.
    with path.open("rb") as stream:
        # NumPy reads what an array's header asks for: of a damaged one less, and then no checksum is looked at.
        with zipfile.ZipFile(stream) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = [file[f"variable_{i:05d}"] for i in range(len(header["variables"]))]
    for description, array in zip(header["variables"], arrays, strict=True):
        if list(array.shape) != description[1]:
            raise ValueError(f"`{description[0]}` should have shape {description[1]}, not {list(array.shape)}")
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
