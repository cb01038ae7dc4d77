"""Lets code that knows only local folders read and write artifacts that may lie in an object store."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

from tfx.dsl.io import fileio
from tfx.utils import io_utils


@contextlib.contextmanager
def readable_folder(uri: str) -> Iterator[str]:
    """Yields a local folder with the files under `uri`: `uri` itself when it is local, else a copy."""
    if _is_local(uri):
        yield uri
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "content")
        io_utils.copy_dir(uri, copy)
        yield copy


@contextlib.contextmanager
def writable_folder(uri: str) -> Iterator[str]:
    """Yields a local folder whose files are under `uri` afterwards; makes it, which not every orchestrator does."""
    if _is_local(uri):
        fileio.makedirs(uri)
        yield uri
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder
        io_utils.copy_dir(folder, uri)


def _is_local(uri: str) -> bool:
    return "://" not in uri
