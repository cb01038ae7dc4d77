import json
import os
import subprocess
import sys

import keras
import pytest

from hfmnas_keras.optimization.data_parallel import DataParallel
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.training import TrainingSettings
from tests.hfmnas_keras.training import replicas_case


def compared(*cases):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(
        [sys.executable, replicas_case.__file__, *cases], env=environment, capture_output=True, text=True, timeout=3000
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    results = json.loads(finished.stdout.splitlines()[-1])
    assert list(results) == list(cases)
    return results


def assert_equal_up_to_rounding(result, devices):
    assert len(result["devices"]) == devices
    # Nearly all has moved: what stays has no gradient (a scan over one position, one node's importance).
    assert result["moved"] > 0.9
    assert result["several"] == pytest.approx(result["one"], abs=1e-6)
    path, difference = result["worst"]
    assert difference < 1e-5, path


def test_three_steps_on_two_devices_end_where_one_device_does():
    # Batch normalisation, DCCA with its running covariance, moments of Adam: all state is compared.
    results = compared("edges", "central_net")
    for result in results.values():
        assert_equal_up_to_rounding(result, 2)


# Eight rows on two devices; seven and eight on three.
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("case", "devices"), [("supernet", 2), ("hf_mnas_uneven", 3), ("edges_uneven", 3), ("second_order", 2)]
)
def test_whole_networks_and_every_option_on_several_devices_end_where_one_device_does(case, devices):
    assert_equal_up_to_rounding(compared(case)[case], devices)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_devices_draw_masks_of_their_own_and_may_compute_in_half_precision():
    results = compared("dropout", "float16")
    dropout = results["dropout"]
    assert 1e-4 < abs(dropout["one"]["train_loss"] - dropout["several"]["train_loss"]) < 0.5
    # Sums in half precision round by the order of their parts.
    assert results["float16"]["several"] == pytest.approx(results["float16"]["one"], abs=0.02)


def test_one_device_computes_as_without():
    devices = DataParallel(keras.Sequential(), "all", batch_size=8)
    assert len(devices.names) == 1
    batch = object()
    assert devices.run(lambda given: given, batch) is batch


def test_more_devices_than_there_are_is_an_error():
    with pytest.raises(RuntimeError, match="64 devices were asked for, and TensorFlow sees 1 of the kind"):
        DataParallel(keras.Sequential(), 64, batch_size=128)


@pytest.mark.parametrize("devices", [0, -1, True, "two", 1.5])
@pytest.mark.parametrize("settings", [SearchSettings, TrainingSettings])
def test_devices_are_all_or_a_number(settings, devices):
    with pytest.raises(ValueError, match="`devices` must be"):
        settings(devices=devices)
