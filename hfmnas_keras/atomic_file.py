"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A path beside `path`, of the same ending, for what writes a file by its path; it takes its place at the end.

    Missing folders are made. When the body raises, what was there before stays.

    Args:
        path: file to write, or to replace.

    Raises:
        ValueError: when there is something at `path` that is not a regular file.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is there and is not a regular file: name another one.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A binary file to write to, as `atomic_path` has it: a reader never sees half of it."""
    with atomic_path(path) as partial, open(partial, "wb") as file:
        yield file
