"""Reads records that strangers wrote: JSON that may be anything, text that may be bytes, paths that may lead elsewhere.

No message repeats the content of a record, but for a refused path: it may be private or offensive, and messages end up
in logs.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Any

from components.multimodal_example_gen.row import SkipRowError
from hfmnas_keras.addresses import is_address

_WINDOWS_OR_URL = re.compile(r"^([A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]*://|\\)")


def parse_object(data: bytes) -> dict[str, Any]:
    """Parses one JSON object.

    Args:
        data: bytes. UTF-8.

    Returns:
        dict.

    Raises:
        SkipRowError: with the reason `not_utf8`, or `broken_row` for everything else that is no JSON object, endlessly
            nested text, endless numbers and a key that is there twice included.
    """
    try:
        record = json.loads(data.decode("utf-8"), object_pairs_hook=_each_key_once)
    except UnicodeDecodeError as error:
        raise SkipRowError("not_utf8", f"the bytes from {error.start} on are not UTF-8") from error
    # Numbers of thousands of digits are a plain ValueError.
    except (ValueError, RecursionError) as error:
        raise SkipRowError("broken_row", f"this is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise SkipRowError("broken_row", f"a JSON object is expected. Received: {type(record).__name__}")
    return record


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a key given twice the parser would take the last without a word."""
    record = dict(pairs)
    if len(record) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise SkipRowError("broken_row", f"the key {twice[:100]!r} is there twice")
    return record


def jsonl_records(data: bytes) -> Iterator[tuple[str, dict[str, Any] | SkipRowError]]:
    """Yields `(place, record)` of each line that is not blank; a line that is no JSON object yields its error instead.

    Args:
        data: bytes. JSON lines.
    """
    # Split at line feeds alone: JSON text may hold other line separators.
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", parse_object(line)
        except SkipRowError as error:
            yield f"line {number}", error


def text_of(value: Any, name: str) -> str:
    """Returns text without outer blanks; `None` is empty.

    Args:
        value: what a record has under a key.
        name: str. What messages call it.

    Returns:
        str, which can be written as UTF-8 and has no zero byte.

    Raises:
        SkipRowError: with the reason `wrong_type` or `not_utf8`.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise SkipRowError("wrong_type", f"`{name}` must be text. Received: {type(value).__name__}")
    if not is_utf8(value):
        # JSON can spell half of a surrogate pair, which no encoder takes.
        raise SkipRowError("not_utf8", f"`{name}` cannot be written as UTF-8")
    if "\0" in value:
        raise SkipRowError("wrong_type", f"`{name}` holds a zero byte")
    return value.strip()


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def comparable_text(text: str) -> str:
    """Returns a text without differences of case and blanks."""
    return " ".join(text.casefold().split())


def inside(root: str, relative: str, name: str) -> str:
    """Returns the real path of a file that a record names.

    Args:
        root: str. Folder that the path must not leave.
        relative: str. Path relative to it.
        name: str. What messages call it.

    Raises:
        SkipRowError: with the reason `path_outside_root` when the path leaves the folder: because it is absolute, by
            `..`, or through a link.

    A root that is an address gives an address.
    """
    relative = relative.strip()
    shown = f"`{name}` is {relative[:100]!r}"
    parts = relative.replace("\\", "/").split("/")
    if "\0" in relative or relative.startswith("/") or _WINDOWS_OR_URL.match(relative) or ".." in parts:
        raise SkipRowError("path_outside_root", f"{shown}, expected a relative path without '..'")
    if is_address(root):
        # In a bucket there are no links.
        return posixpath.join(root, posixpath.normpath("/".join(parts)))
    real_root = _real_root(root) if os.path.isabs(root) else os.path.realpath(root)
    path = os.path.normpath(os.path.join(real_root, relative))
    if not _has_link(real_root, path):
        return path
    path = os.path.realpath(path)
    if os.path.commonpath([real_root, path]) != real_root:
        link = _first_link_out(real_root, relative)
        raise SkipRowError(
            "path_outside_root",
            f"{shown}, a link that leads out of the data root: {link!r} leads to {os.path.realpath(link)!r}. Put the "
            "files themselves there, or name a data root that holds both",
        )
    return path


#: Roots are few, and each of their thousands of files asks.
_real_root = functools.lru_cache(maxsize=64)(os.path.realpath)


def _has_link(real_root: str, path: str) -> bool:
    """Whether a path below a root without links has one; much faster than to follow all of it."""
    while len(path) > len(real_root):
        # Not `islink`, which is silent about letters that no file's name can have.
        with contextlib.suppress(OSError):
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return True
        path = os.path.dirname(path)
    return False


def _first_link_out(root: str, relative: str) -> str:
    """The first part of a path that is a link out of the root, by which a person finds it."""
    path = root
    for part in relative.split("/"):
        path = os.path.join(path, part)
        if os.path.islink(path) and os.path.commonpath([root, os.path.realpath(path)]) != root:
            break
    return path


def read_bounded(path: str, max_bytes: int) -> bytes:
    """Reads a whole file of a record, unless it is larger than such files are.

    Args:
        path: str.
        max_bytes: int.

    Returns:
        bytes.

    Raises:
        SkipRowError: with the reason `missing_file`, `unreadable_file` or `file_too_large`.
    """
    # A device or a pipe would never end.
    if not os.path.isfile(path):
        raise SkipRowError("missing_file", f"there is no file {os.path.basename(path)!r}")
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise SkipRowError("unreadable_file", f"{os.path.basename(path)!r} cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise SkipRowError("file_too_large", f"{os.path.basename(path)!r} has more than {max_bytes} bytes")
    return data


def in_short(names: Sequence[str], at_most: int = 25) -> str:
    """Lists names for a message, which must not grow with their number.

    Example:
    >>> in_short(["a", "b", "c"], at_most=2)
    "'a', 'b' and 1 more"
    """
    listed = ", ".join(repr(name) for name in names[:at_most])
    return listed if len(names) <= at_most else f"{listed} and {len(names) - at_most} more"
