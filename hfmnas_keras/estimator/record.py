"""What a fitted classifier's folder says of itself."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from hfmnas_keras.atomic_file import atomic_file

RECORD_FILE = "fusion_classifier.json"
VERSION = 1
_LARGEST_RECORD = 10_000_000


def write_record(path: str | os.PathLike, record: dict[str, Any]) -> None:
    """Writes the record into a fitted classifier's folder, which is whole with it."""
    with atomic_file(pathlib.Path(path) / RECORD_FILE) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())


def read_record(path: str | os.PathLike) -> dict[str, Any]:
    """The record of a fitted classifier's folder.

    Raises:
        ValueError: when there is none, or of another version.
    """
    file = pathlib.Path(path) / RECORD_FILE
    if not file.is_file() or file.stat().st_size > _LARGEST_RECORD:
        raise ValueError(f"There is no fitted classifier in {str(path)!r}: it has no {RECORD_FILE}.")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    if not isinstance(record, dict) or record.get("version") != VERSION:
        raise ValueError(f"{file} is not of version {VERSION}. Fit the classifier again.")
    return record
