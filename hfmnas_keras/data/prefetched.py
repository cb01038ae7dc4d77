"""Reads rows one batch ahead of the step that wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")


def prefetched(read: Callable[..., Batch], row_numbers: Iterable) -> Iterator[Batch]:
    """Yields `read(numbers)` for each entry of `row_numbers`; the next one is read while the last is used.

    Args:
        read: function that gathers and decodes a batch, called in one thread of its own.
        row_numbers: arrays of row numbers, one a batch.
    """
    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = None
        for numbers in row_numbers:
            following = reader.submit(read, numbers)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
