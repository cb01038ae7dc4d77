import numpy as np
import pytest

from hfmnas_keras.data.batch_order import BatchOrder


def test_each_pass_reads_every_row_once_and_fills_the_last_batch():
    order = BatchOrder(11, 4, seed=5)
    assert order.steps_per_pass == 3
    for pass_number in range(3):
        rows = np.concatenate([order.batch(3 * pass_number + i) for i in range(3)])
        assert sorted(rows[:11]) == list(range(11))
        np.testing.assert_array_equal(rows[11:], rows[:1])


def test_batches_depend_on_number_seed_and_stream_only():
    order = BatchOrder(50, 4, seed=5)
    later = [order.batch(number) for number in range(30)]
    fresh = BatchOrder(50, 4, seed=5)
    np.testing.assert_array_equal(fresh.batch(29), later[29])
    np.testing.assert_array_equal(fresh.batch(3), later[3])
    assert not np.array_equal(BatchOrder(50, 4, seed=6).rows_of_pass(0), fresh.rows_of_pass(0))
    assert not np.array_equal(BatchOrder(50, 4, seed=5, stream=1).rows_of_pass(0), fresh.rows_of_pass(0))
    assert not np.array_equal(fresh.rows_of_pass(0), fresh.rows_of_pass(1))


def test_batch_larger_than_split():
    assert sorted(BatchOrder(3, 8, seed=0).batch(4).tolist()).count(0) in (2, 3)
    assert BatchOrder(3, 8, seed=0).batch(4).shape == (8,)


def test_no_rows():
    with pytest.raises(ValueError, match="at least one row"):
        BatchOrder(0, 8, seed=0)
