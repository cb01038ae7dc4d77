"""Peak memory of this process."""

from __future__ import annotations

import resource
import sys

import tensorflow as tf


def peak_memory_bytes() -> int:
    """Peak memory in bytes: of the first accelerator where there is one, else of the process."""
    if tf.config.list_physical_devices("GPU"):
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return int(peak if sys.platform == "darwin" else peak * 1024)
