"""How long a model takes to answer."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Latency:
    """Times of calls one after the other.

    Args:
        calls: int. How many were timed.
        p50_ms, p99_ms: floats. Median and 99th percentile, in milliseconds.
    """

    calls: int
    p50_ms: float
    p99_ms: float


def measure_latency(call: Callable[[], Any], calls: int = 300, warm_up: int = 20) -> Latency:
    """Times a function that has its answer in the computer's memory when it returns.

    Args:
        call: function without arguments.
        calls: int. Calls to time; the 99th percentile of fewer than 100 is their maximum. Defaults to `300`.
        warm_up: int. Calls before, in which graphs are made and memory is found. Defaults to `20`.

    Returns:
        `Latency`.

    Raises:
        ValueError: when `calls` is below 1 or `warm_up` below 0.
    """
    if calls < 1 or warm_up < 0:
        raise ValueError(
            f"`calls` must be at least 1 and `warm_up` 0 or more. Received: calls={calls}, warm_up={warm_up}."
        )
    for _ in range(warm_up):
        call()
    milliseconds = np.empty(calls)
    for index in range(calls):
        started = time.perf_counter()
        call()
        milliseconds[index] = 1e3 * (time.perf_counter() - started)
    return Latency(
        calls, float(np.percentile(milliseconds, 50)), float(np.percentile(milliseconds, 99, method="higher"))
    )


def model_latency(model: keras.Model, inputs: Mapping[str, np.ndarray], calls: int = 300) -> Latency:
    """Times a model's inference as one graph, from arrays to arrays.

    Args:
        model: `keras.Model` from a dict of inputs.
        inputs: arrays by name; one row each for the latency at batch 1.
        calls: int. See `measure_latency`. Defaults to `300`.

    Returns:
        `Latency`.
    """
    infer = tf.function(lambda tensors: model(tensors, training=False))

    def call() -> Any:
        # Made anew, as the arrays of a request would be.
        tensors = {name: tf.convert_to_tensor(array) for name, array in inputs.items()}
        return keras.tree.map_structure(lambda tensor: tensor.numpy(), infer(tensors))

    return measure_latency(call, calls)
