import math

import keras
import pytest

from hfmnas_keras.optimization.schedules import CosineWithRestarts, steps_of_epoch


def expected_rate(step, maximum, minimum, first_cycle):
    # position within the cycle by walking through the cycles
    length = first_cycle
    while step >= length:
        step -= length
        length *= 2
    return minimum + 0.5 * (maximum - minimum) * (1 + math.cos(math.pi * step / length))


def test_rates_restart_in_whole_steps():
    schedule = CosineWithRestarts(1e-3, 1e-6, first_cycle=7, total_steps=7 * 6)
    for step in range(7 * 6):
        assert float(schedule(step)) == pytest.approx(expected_rate(step, 1e-3, 1e-6, 7), rel=1e-4)
    # full rate at the first step of each cycle, 7, 14, 28 steps long
    for start in (0, 7, 21):
        assert float(schedule(start)) == pytest.approx(1e-3, rel=1e-6)
        assert start == 0 or float(schedule(start - 1)) < 1e-3 / 2


def test_long_schedules_restart_exactly():
    # float arithmetic on logarithms misses such boundaries
    schedule = CosineWithRestarts(1.0, 0.0, first_cycle=1944, total_steps=1944 * 30)
    for cycle in range(5):
        assert float(schedule(1944 * (2**cycle - 1))) == 1.0


def test_schedule_round_trip():
    schedule = CosineWithRestarts(1e-3, 1e-6, first_cycle=5, total_steps=50)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert float(again(17)) == float(schedule(17))


@pytest.mark.parametrize("arguments", [(1e-3, 1e-2, 5, 50), (1e-3, 1e-6, 0, 50), (1e-3, 1e-6, 5, 0)])
def test_schedule_refuses(arguments):
    with pytest.raises(ValueError):
        CosineWithRestarts(*arguments)


def test_ratio_puts_an_architecture_step_before_each_group_of_weight_steps():
    # ceil(20 / 8) = 3 weight steps to one architecture step, 20 / 4 = 5 weight steps an epoch
    assert steps_of_epoch("ratio", 20, 8, 4) == [
        "architecture",
        "weights",
        "weights",
        "weights",
        "architecture",
        "weights",
        "weights",
    ]


def test_every_step_and_phased():
    assert steps_of_epoch("every_step", 6, 3, 2) == ["architecture", "weights"] * 3
    assert steps_of_epoch("phased", 6, 3, 2) == ["weights"] * 3 + ["architecture"] * 2


def test_unknown_alternation():
    with pytest.raises(ValueError, match="ratio"):
        steps_of_epoch("sometimes", 6, 3, 2)
