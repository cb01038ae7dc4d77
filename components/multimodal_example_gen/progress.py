"""Tells how far an ingest is, whichever machines its workers are on."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence

from absl import logging

from components.multimodal_example_gen.shards import Shard, names_of_notes, number_of_rows

#: How often.
SECONDS = 10.0


@contextlib.contextmanager
def progress(folder: str, shards: Sequence[Shard], seconds: float = SECONDS) -> Iterator[None]:
    """Logs now and then how many rows are written and what time is left, while parts are written.

    Args:
        folder: str. Of the artifact; in it each written part leaves a note.
        shards: sequence of Shard. Those that are to be written.
        seconds: float. How long after a line the next one comes.
    """
    stop = threading.Event()
    # A note may have either name.
    rows_of = {os.path.basename(shard.note(is_reusable)): shard for shard in shards for is_reusable in (False, True)}
    total = number_of_rows(shards)

    def tell_now_and_then() -> None:
        started = time.monotonic()
        while not stop.wait(seconds):
            # A store that does not answer costs a line, not the ingest.
            with contextlib.suppress(Exception):
                done = number_of_rows(rows_of[name] for name in names_of_notes(folder) if name in rows_of)
                if done:
                    logging.info("%s.", in_words(done, total, time.monotonic() - started))

    thread = threading.Thread(target=tell_now_and_then, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def in_words(done: int, total: int, seconds: float) -> str:
    """Says how far it is.

    Example:
    >>> in_words(1200, 5000, 60.0)
    '1,200 of 5,000 rows are read (24 %), about 3 min left'
    """
    left = seconds * (total - done) / done
    words = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
    return f"{done:,} of {total:,} rows are read ({100 * done // total} %), about {words} left"
