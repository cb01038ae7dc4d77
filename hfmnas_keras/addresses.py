"""Paths of files that may lie in an object store, and then have an address with a scheme."""

from __future__ import annotations

import os
import re

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://")


def is_address(path: str | os.PathLike) -> bool:
    """Whether a path is an address with a scheme, such as `gs://bucket/rows.jsonl`, and must stay as it is."""
    return scheme_of(path) != ""


def scheme_of(path: str | os.PathLike) -> str:
    """The scheme of an address, such as `"gs"`; `""` of a path without one."""
    match = _SCHEME.match(os.fspath(path))
    return match[1] if match else ""


def absolute_path(path: str | os.PathLike, folder: str | os.PathLike = ".") -> str:
    """Returns a path, relative to a folder, as an absolute one without links; an address as it is."""
    path = os.fspath(path)
    return path if is_address(path) else os.path.realpath(os.path.join(folder, path))
