import threading

import pytest

from hfmnas_keras.data.prefetched import prefetched


def test_order_and_one_batch_ahead():
    started = {number: threading.Event() for number in range(4)}

    def read(number):
        started[number].set()
        return 10 * number

    batches = prefetched(read, range(4))
    for number in range(4):
        assert next(batches) == 10 * number
        # While this one is used, the next is being read, and no other.
        assert number == 3 or started[number + 1].wait(timeout=30)
        assert number >= 2 or not started[number + 2].is_set()
    assert list(batches) == []
    assert list(prefetched(read, [])) == []


def test_what_goes_wrong_while_reading_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(prefetched(lambda number: 1 // number, [1, 0]))
