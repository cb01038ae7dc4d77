import numpy as np
import pytest
import tensorflow as tf

from hfmnas_keras.evidence.abstention import Abstention

OUTPUTS = {
    "conflict": np.array([0.0, 0.5, 0.6, 1.0], "float32"),
    "uncertainty": np.array([1.0, 0.2, 0.2, 0.1], "float32"),
}


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, [False, False, False, False]),
        # On the bound is not above it.
        ({"max_conflict": 0.5}, [False, False, True, True]),
        ({"max_uncertainty": 0.15}, [True, True, True, False]),
        ({"max_conflict": 0.7, "max_uncertainty": 0.9}, [True, False, False, True]),
        ({"max_conflict": 1.0, "max_uncertainty": 1.0}, [False, False, False, False]),
        ({"max_conflict": 0}, [False, True, True, True]),
    ],
)
def test_marks_what_lies_above_a_bound(bounds, expected):
    marks = np.array(Abstention(**bounds)(OUTPUTS))
    assert marks.dtype == bool
    np.testing.assert_array_equal(marks, expected)


def test_several_labels_and_an_unknown_batch_size():
    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def marks(conflict):
        return [each({"conflict": conflict, "uncertainty": conflict}) for each in (Abstention(), Abstention(0.5))]

    never, above = marks(np.array([[0.1, 0.9, 0.5]]))
    np.testing.assert_array_equal(never, [[False, False, False]])
    np.testing.assert_array_equal(above, [[False, True, False]])


@pytest.mark.parametrize("bounds", [{"max_conflict": 1.5}, {"max_uncertainty": -0.1}, {"max_conflict": float("nan")}])
def test_bounds_are_shares(bounds):
    (name,) = bounds
    with pytest.raises(ValueError, match=rf"`{name}` must be in \[0, 1\], or None"):
        Abstention(**bounds)
