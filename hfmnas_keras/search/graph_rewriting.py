"""Graphs that run as they were traced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

_SWITCH = "disable_meta_optimizer"


@contextlib.contextmanager
def without_graph_rewriting() -> Iterator[None]:
    """Within it TensorFlow's graph optimiser (Grappler) leaves the graphs of compiled functions as they are.

    It takes seconds for the thousands of operations of a supernet's step, and finds nothing there that makes the step
    faster: its large kernels are in the layers already (docs/method.md, section 4). The switch belongs to the whole
    process and is put back at the end; a function called within and without is prepared once for each.
    """
    before = tf.config.optimizer.get_experimental_options().get(_SWITCH, False)
    tf.config.optimizer.set_experimental_options({_SWITCH: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_SWITCH: before})
