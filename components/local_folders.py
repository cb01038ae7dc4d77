"""Lets code that knows only local folders read and write artifacts that may lie in an object store."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator

from absl import logging
from tfx.dsl.io import fileio

from hfmnas_keras.addresses import is_address
from hfmnas_keras.data.stored_files import copy_file, copy_folder

#: So often a mirrored folder is copied to its address.
MIRROR_SECONDS = 30.0


@contextlib.contextmanager
def readable_folder(uri: str) -> Iterator[str]:
    """Yields a local folder with the files under `uri`: `uri` itself when it is local, else a copy."""
    if not is_address(uri):
        yield uri
        return
    with tempfile.TemporaryDirectory() as folder:
        copy_folder(uri, folder)
        yield folder


@contextlib.contextmanager
def readable_file(path: str) -> Iterator[str]:
    """Yields the path of a local file with the content of `path`: `path` itself when it is local, else a copy."""
    if not is_address(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, os.path.basename(path))
        copy_file(path, copy)
        yield copy


@contextlib.contextmanager
def writable_folder(uri: str) -> Iterator[str]:
    """Yields a local folder whose files are under `uri` afterwards, beside those that are there already.

    It makes the folder, which not every orchestrator does.
    """
    if not is_address(uri):
        fileio.makedirs(uri)
        yield uri
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder
        copy_folder(folder, uri)


@contextlib.contextmanager
def mirrored_folder(uri: str, seconds: float = MIRROR_SECONDS) -> Iterator[str]:
    """Yields a local folder that starts with the files under `uri` and is copied there again and again.

    For checkpoints: a container that is killed leaves what was there at the last copy. Files that are gone when the
    body ends are removed under `uri` too. A local folder is yielded as it is, and not made.

    Args:
        uri: str. The folder, local or an address.
        seconds: float. How long after a copy the next begins.
    """
    if not is_address(uri):
        yield uri
        return
    with tempfile.TemporaryDirectory() as folder:
        if fileio.isdir(uri):
            copy_folder(uri, folder)
        mirror = _Mirror(folder, uri)
        stop = threading.Event()

        def copy_now_and_then() -> None:
            while not stop.wait(seconds):
                try:
                    mirror.copy_changes()
                # A store that does not answer costs a copy, not the training.
                except Exception as error:
                    logging.warning("The checkpoints could not be copied to %s: %s.", uri, error)

        thread = threading.Thread(target=copy_now_and_then, daemon=True)
        thread.start()
        try:
            yield folder
        finally:
            stop.set()
            thread.join()
            mirror.copy_changes()
            mirror.remove_gone()


def remove_folder(uri: str) -> None:
    """Removes a folder with all that is in it, local or not, if it is there."""
    if fileio.isdir(uri):
        fileio.rmtree(uri)


class _Mirror:
    """Copies the files of a local folder that changed since the last time."""

    def __init__(self, folder: str, uri: str):
        self._folder, self._uri = folder, uri
        self._copied = self._states()

    def copy_changes(self) -> None:
        for name, state in self._states().items():
            if self._copied.get(name) != state:
                # Whatever writes checkpoints replaces whole files by renaming.
                with contextlib.suppress(FileNotFoundError):
                    copy_file(os.path.join(self._folder, name), os.path.join(self._uri, name))
                    self._copied[name] = state

    def remove_gone(self) -> None:
        for name in set(self._copied) - set(self._states()):
            if fileio.exists(path := os.path.join(self._uri, name)):
                fileio.remove(path)

    def _states(self) -> dict[str, tuple[int, int]]:
        states = {}
        for folder, _, names in os.walk(self._folder):
            for name in names:
                path = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    status = os.stat(path)
                    states[os.path.relpath(path, self._folder)] = (status.st_size, status.st_mtime_ns)
        return states
