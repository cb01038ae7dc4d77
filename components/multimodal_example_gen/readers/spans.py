"""Finds the newest file of data that come in spans, as TFX's own ExampleGen names them."""

from __future__ import annotations

import os
import re

import tensorflow as tf

from hfmnas_keras.data.stored_files import is_file

SPAN, VERSION = "{SPAN}", "{VERSION}"


def newest_span(path: str) -> str:
    """Returns the file of the greatest span and, in it, of the greatest version.

    Args:
        path: str. Path or address in which `{SPAN}` and `{VERSION}` stand for whole numbers, in names of folders or of
            the file: `"/data/{SPAN}/rows.jsonl"`. One without them is returned as it is.

    Raises:
        ValueError: for a version without a span.
        FileNotFoundError: when there is no such file.
    """
    if SPAN not in path:
        if VERSION in path:
            raise ValueError(f"{VERSION} needs {SPAN}, of which it is a version. Received: {path!r}.")
        return path
    found: list[tuple[int, int, str]] = [(-1, -1, "")]
    for part in path.split("/"):
        if SPAN not in part and VERSION not in part:
            found = [(span, version, f"{folder}{part}/") for span, version, folder in found]
            continue
        name = re.escape(part).replace(re.escape(SPAN), r"(?P<span>[0-9]+)", 1)
        pattern = re.compile(name.replace(re.escape(VERSION), r"(?P<version>[0-9]+)", 1))
        found = [
            (int(numbers.get("span", span)), int(numbers.get("version", version)), f"{folder}{match.string}/")
            for span, version, folder in found
            for match in map(pattern.fullmatch, _names_in(folder or "./"))
            if match
            for numbers in [match.groupdict()]
        ]
    files = [(span, version, file.rstrip("/")) for span, version, file in found]
    there = [one for one in files if is_file(one[2])]
    if not there:
        raise FileNotFoundError(f"There is no file {path!r} with whole numbers in place of {SPAN} and {VERSION}.")
    return max(there)[2]


def _names_in(folder: str) -> list[str]:
    # A bucket has a slash behind the names of folders.
    return [os.fsdecode(name).rstrip("/") for name in tf.io.gfile.listdir(folder)] if tf.io.gfile.isdir(folder) else []
