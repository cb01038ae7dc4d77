import keras
import numpy as np
import pytest
from keras import ops

from hfmnas_keras.pretraining.batched_outputs import BatchedOutputs


def longest_of_batch(input_shape, dtype):
    """A model that tells each row itself and how long the longest row of its batch is."""
    inputs = keras.Input(input_shape, dtype=dtype)
    longest = ops.max(ops.sum(ops.cast(ops.not_equal(inputs, 0), "int32"), axis=-1))
    return keras.Model(inputs, {"row": inputs, "longest": longest + 0 * ops.cast(inputs[:, 0], "int32")})


@pytest.mark.parametrize("rows", [None, np.array([4, 0, 2])])
def test_token_ids_go_by_length_and_come_back_in_their_order(rows):
    tokens = np.array([[7, 8, 9, 9], [1, 0, 0, 0], [3, 4, 0, 0], [2, 2, 2, 0], [5, 0, 0, 0]])
    outputs = BatchedOutputs(longest_of_batch((4,), "int64"), batch_size=2)(tokens, rows)
    chosen = np.arange(5) if rows is None else rows
    np.testing.assert_array_equal(outputs["row"], tokens[chosen])
    # Lengths 1 1 | 2 3 | 4 and 1 2 | 4.
    np.testing.assert_array_equal(outputs["longest"], [4, 1, 3, 3, 1] if rows is None else [2, 4, 2])


def test_other_rows_go_as_they_stand():
    rows = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    outputs = BatchedOutputs(longest_of_batch((2,), "float32"), batch_size=2)(rows)
    np.testing.assert_array_equal(outputs["longest"], [2, 2, 1])
