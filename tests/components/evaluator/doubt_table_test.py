import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluator import doubt_table
from components.evaluator.doubt_table import DoubtTable
from hfmnas_keras.evidence.risk_coverage import risk_coverage


def filled(doubts, errors, bounds=(), **kwargs):
    """A table of these decisions, made of several where there are bounds."""
    tables = []
    for start, end in zip((0, *bounds), (*bounds, len(doubts)), strict=True):
        table = DoubtTable(**kwargs)
        for row in range(start, end, 3):
            table.add(doubts[row : min(row + 3, end)], errors[row : min(row + 3, end)])
        tables.append(table)
    merged = DoubtTable(**kwargs)
    for table in tables:
        merged.merge(table)
    return merged


def made_up(decisions, seed=0):
    generator = np.random.default_rng(seed)
    # Many near zero, as those of a sure model are.
    doubts = (generator.random(decisions) ** 4).astype(np.float32).astype(np.float64)
    return doubts, generator.random(decisions) < 0.1 + 0.8 * doubts


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30), st.integers(0, 30))
def test_is_exact_while_it_is_not_full(rows, bound):
    doubts, errors = (np.array(column) for column in zip(*rows, strict=True))
    table, expected = filled(doubts, errors, (min(bound, len(rows)),)), risk_coverage(doubts, errors)
    curve = table.to_risk_coverage()
    for name in ("doubts", "counts", "errors"):
        np.testing.assert_array_equal(getattr(curve, name), getattr(expected, name))


def test_a_long_queue_is_sorted_in_and_changes_nothing():
    doubts, errors = made_up(2 * doubt_table._LARGEST_QUEUE + 100)
    table = filled(doubts, errors)
    assert table.lost_bits == 0 and len(table.queue) * 3 < doubt_table._LARGEST_QUEUE
    assert table.to_risk_coverage().aurc == risk_coverage(doubts, errors).aurc


def test_a_full_table_stays_bounded_near_and_the_same_however_it_was_divided():
    doubts, errors = made_up(20_000)
    tables = [filled(doubts, errors, bounds, largest=512) for bounds in ((), (7, 9_000, 9_001), (15_000,))]
    curves = [table.to_risk_coverage() for table in tables]
    for table, curve in zip(tables, curves, strict=True):
        assert 256 < len(table.bits) <= 512
        assert (curve.num_decisions, curve.errors.sum()) == (20_000, errors.sum())
        np.testing.assert_array_equal(curve.doubts, curves[0].doubts)
        np.testing.assert_array_equal(curve.errors, curves[0].errors)
    exact = risk_coverage(doubts, errors)
    assert curves[0].aurc == pytest.approx(exact.aurc, abs=1e-4)
    np.testing.assert_allclose(curves[0].error_by_part(), exact.error_by_part(), atol=1e-3)


def test_roundings_below_zero_are_zero():
    table = DoubtTable()
    table.add(np.array([-1e-9, -0.0, 0.0]), np.array([True, False, False]))
    np.testing.assert_array_equal(table.to_risk_coverage().counts, [3])


def test_an_empty_table_is_a_clear_error():
    with pytest.raises(ValueError, match="one at least"):
        DoubtTable().to_risk_coverage()
