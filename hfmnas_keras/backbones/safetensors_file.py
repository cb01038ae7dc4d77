"""Reads tensors from a `.safetensors` file, which holds numbers alone."""

from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np

# The format's own bound of the header.
_LARGEST_HEADER = 100_000_000
# What an array can have, also one without any number.
_MOST_AXES, _LARGEST_AXIS = 16, 1 << 40
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}


def read_safetensors(path: str) -> dict[str, np.ndarray]:
    """All tensors of a `.safetensors` file.

    The file is eight bytes with the length of the header, the header, which says in JSON where each tensor lies and of
    which type and shape it is, and the numbers. What the header claims is checked against the size of the file before
    anything is read; tensors must lie side by side.

    Args:
        path: str. The file.

    Returns:
        dict from names to arrays, float32 (integers: int64).

    Raises:
        ValueError: when the file is damaged or no such file, or a tensor is of another type.
        OSError: when the file cannot be opened.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_LARGEST_HEADER, size - 8):
            raise ValueError(
                f"{path!r} is no `.safetensors` file, or is cut off: of {size} bytes, {length} should be its header."
            )
        entries = _entries(path, file.read(length))
        start = 8 + length
        expected_begin, places = 0, []
        for name, entry in sorted(entries.items(), key=lambda item: _offsets(path, *item)):
            begin, end = _offsets(path, name, entry)
            kind, shape = _kind(path, name, entry), _shape(path, name, entry)
            needed = math.prod(shape) * np.dtype(kind).itemsize
            if begin != expected_begin or end - begin != needed:
                raise ValueError(
                    f"The tensor {name!r} in {path!r} claims bytes {begin} to {end}; a {entry['dtype']} of shape "
                    f"{shape} next to the tensor before it takes {expected_begin} to {expected_begin + needed}."
                )
            expected_begin = end
            places.append((name, kind, shape, begin))
        if start + expected_begin != size:
            raise ValueError(f"The tensors in {path!r} take {expected_begin} bytes. It has {size - start} of them.")
        tensors = {}
        for name, kind, shape, begin in places:
            file.seek(start + begin)
            values = np.fromfile(file, kind, math.prod(shape)).reshape(shape)
            if entries[name]["dtype"] == "BF16":
                # The upper half of a float32.
                values = (values.astype("<u4") << 16).view("<f4")
            with np.errstate(over="ignore"):
                tensors[name] = values.astype("int64" if kind.startswith("<i") else "float32")
            if np.isinf(tensors[name]).any() and not np.isinf(values).any():
                raise ValueError(f"The tensor {name!r} in {path!r} has numbers beyond float32.")
    return tensors


def _entries(path: Any, header: Any) -> Any:
    try:
        entries = json.loads(header, object_pairs_hook=_without_repetition)
    # Deep nesting ends in a RecursionError.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The header of {path!r} is no JSON as `.safetensors` files have it: {error}") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ValueError(f"The header of {path!r} is no mapping from names to descriptions of tensors.")
    entries.pop("__metadata__", None)
    return entries


def _without_repetition(pairs: Any) -> Any:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name occurs twice")
    return entries


def _offsets(path: Any, name: str, entry: Any) -> Any:
    offsets = entry.get("data_offsets")
    if not _is_counts(offsets) or len(offsets) != 2:
        raise ValueError(f"`data_offsets` of the tensor {name!r} in {path!r} must be two ints. Received: {offsets!r}.")
    return tuple(offsets)


def _kind(path: Any, name: str, entry: Any) -> Any:
    if not isinstance(entry.get("dtype"), str) or entry["dtype"] not in _TYPES:
        raise ValueError(
            f"The tensor {name!r} in {path!r} must be of one of the types {', '.join(_TYPES)}. "
            f"Received: {entry.get('dtype')!r}."
        )
    return _TYPES[entry["dtype"]]


def _shape(path: Any, name: str, entry: Any) -> Any:
    shape = entry.get("shape")
    if not _is_counts(shape) or len(shape) > _MOST_AXES or max(shape, default=0) > _LARGEST_AXIS:
        raise ValueError(
            f"`shape` of the tensor {name!r} in {path!r} must be a list of at most {_MOST_AXES} ints, each at most "
            f"{_LARGEST_AXIS}. Received: {str(shape)[:100]}."
        )
    return tuple(shape)


def _is_counts(values: Any) -> Any:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
