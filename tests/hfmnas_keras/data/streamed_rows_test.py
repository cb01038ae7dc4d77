import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.data.batch_order import BatchOrder
from hfmnas_keras.data.device_rows import DeviceRows
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.data.streamed_rows import StreamedRows, feature_rows


def make_rows(rows=11):
    generator = np.random.default_rng(0)
    features = {"x": generator.normal(size=(rows, 2, 3)).astype("float32"), "unread": np.zeros((rows, 100), "float32")}
    tokens = generator.integers(0, 9, size=(rows, 4))
    return FeatureSet(np.array([str(row) for row in range(rows)]), features, np.arange(rows), tokens)


def check_batch(batch, rows, numbers):
    inputs, labels = batch
    assert set(inputs) == {"x", "tokens"}
    np.testing.assert_array_equal(inputs["x"], rows.features["x"][numbers])
    np.testing.assert_array_equal(inputs["tokens"], rows.tokens[numbers])
    np.testing.assert_array_equal(labels, rows.labels[numbers])


def test_what_is_too_large_for_the_device_is_streamed():
    rows = make_rows()
    size = rows.features["x"].nbytes
    assert type(feature_rows(rows, ("x",), size)) is DeviceRows
    assert type(feature_rows(rows, ("x",), size - 1)) is StreamedRows
    with pytest.raises(ValueError, match=r"no \['y'\]"):
        feature_rows(rows, ("x", "y"), 0)


def test_batches_come_in_the_order_that_is_followed(monkeypatch):
    eager_gathers = []
    gather = DeviceRows._gather

    def counting_gather(self, row_numbers):
        if tf.executing_eagerly():
            eager_gathers.append(np.array(row_numbers).tolist())
        return gather(self, row_numbers)

    monkeypatch.setattr(DeviceRows, "_gather", counting_gather)
    rows = make_rows()
    streamed = StreamedRows(rows, ("x", "tokens"))
    order = BatchOrder(11, 4, seed=3, stream=1)
    # From the middle of a pass, as a resumed run, over three passes.
    streamed.follow(order, first=2)
    for number in range(2, 9):
        check_batch(streamed.batch(streamed.fetch(order.batch(number))), rows, order.batch(number))
    assert eager_gathers == []
    # A second look at a batch, and rows that were not followed, are gathered at once; then the stream goes on.
    for numbers in (order.batch(8), np.array([5, 5], "int32")):
        check_batch(streamed.fetch(numbers), rows, numbers)
    check_batch(streamed.fetch(order.batch(9)), rows, order.batch(9))
    assert eager_gathers == [order.batch(8).tolist(), [5, 5]]


def test_batches_of_a_pass_and_outputs_of_all_rows():
    rows = make_rows()
    streamed, resident = (kind(rows, ("x", "tokens")) for kind in (StreamedRows, DeviceRows))
    numbers = BatchOrder(11, 4, seed=3).rows_of_pass(0).reshape(-1, 4)
    for kind in (streamed, resident):
        batches = list(kind.batches(numbers))
        assert len(batches) == 3
        for batch, expected in zip(batches, numbers, strict=True):
            check_batch(batch, rows, expected)
    received = [kind.outputs(lambda rows, kind=kind: kind.batch(rows)[0]["x"], 4) for kind in (streamed, resident)]
    for outputs in received:
        np.testing.assert_array_equal(outputs, rows.features["x"])


@pytest.mark.parametrize("batch_size", [4, None])
def test_a_compiled_function_takes_what_is_fetched(batch_size):
    rows = make_rows()
    for kind in (StreamedRows, DeviceRows):
        each = kind(rows, ("x", "tokens"))
        function = tf.function(each.batch, input_signature=[each.signature(batch_size)])
        check_batch(function(each.fetch(np.array([3, 1, 1, 7], "int32"))), rows, [3, 1, 1, 7])
        assert function.experimental_get_tracing_count() == 1
