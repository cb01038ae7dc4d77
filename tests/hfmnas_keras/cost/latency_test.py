import itertools
import time

import keras
import numpy as np
import pytest

from hfmnas_keras.cost.latency import measure_latency, model_latency


def test_percentiles_of_known_times(monkeypatch):
    """Calls of 1, 2, ..., 100 milliseconds, by a clock of our own."""
    now = itertools.chain.from_iterable((0.0, 1e-3 * duration) for duration in range(1, 101))
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    warm_up = []
    latency = measure_latency(lambda: warm_up.append(1), calls=100, warm_up=7)
    assert latency.calls == 100
    assert latency.p50_ms == pytest.approx(50.5)
    assert latency.p99_ms == pytest.approx(100.0)
    assert len(warm_up) == 107


def test_a_call_takes_the_time_it_takes():
    latency = measure_latency(lambda: time.sleep(0.02), calls=5, warm_up=0)
    assert 20 <= latency.p50_ms <= latency.p99_ms


def test_a_model_is_timed_as_one_graph():
    inputs = keras.Input((3,), name="features")
    traced = []

    class Traced(keras.layers.Layer):
        def call(self, inputs):
            traced.append(inputs)
            return inputs + 1

    model = keras.Model({"features": inputs}, Traced()(inputs))
    traced.clear()
    assert model_latency(model, {"features": np.zeros((1, 3), "float32")}, calls=4).p50_ms > 0
    assert len(traced) == 1


def test_nothing_to_time_is_refused():
    with pytest.raises(ValueError, match="calls=0"):
        measure_latency(lambda: None, calls=0)
