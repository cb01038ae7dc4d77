import fractions
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from hfmnas_keras.evidence import risk_coverage as module
from hfmnas_keras.evidence.risk_coverage import decision_doubt, risk_coverage

decisions = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6)


def brute_force(doubts, errors):
    """Mean risk at every number of kept decisions, over all orders that respect the doubts, in exact arithmetic."""
    rows = range(len(doubts))
    orders = [order for order in itertools.permutations(rows) if all(doubts[a] <= doubts[b] for a, b in _pairs(order))]
    return [
        sum(fractions.Fraction(sum(errors[row] for row in order[:kept]), kept) for order in orders) / len(orders)
        for kept in range(1, len(doubts) + 1)
    ]


def _pairs(order):
    return zip(order, order[1:], strict=False)


def test_a_case_by_hand():
    # In order: right, wrong, right, wrong.
    curve = risk_coverage([0.4, 0.1, 0.3, 0.2], [True, False, False, True])
    np.testing.assert_allclose(curve.risk([0.25, 0.5, 0.75, 1.0]), [0, 1 / 2, 1 / 3, 2 / 4])
    assert curve.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    # The best order of two errors: 0, 0, 1/3, 2/4.
    assert curve.excess_aurc == pytest.approx(curve.aurc - (1 / 3 + 2 / 4) / 4)
    np.testing.assert_allclose(curve.error_by_part(2), [0.5, 0.5])
    np.testing.assert_allclose(curve.error_by_part(4), [0, 1, 0, 1])
    assert (curve.num_decisions, curve.error_rate) == (4, 0.5)


def test_ties_by_hand():
    # One sure and right, then three alike of which one is wrong: each of them a third of an error.
    curve = risk_coverage([0.1, 0.7, 0.7, 0.7], [0, 1, 0, 0])
    np.testing.assert_allclose(curve.risk([0.25, 0.5, 0.75, 1.0]), [0, 1 / 6, 2 / 9, 1 / 4])
    np.testing.assert_allclose(curve.error_by_part(), [0, 1 / 3, 1 / 3, 1 / 3])


@settings(deadline=None, max_examples=60)
@given(decisions)
def test_equals_the_mean_over_all_orders(rows):
    doubts, errors = zip(*rows, strict=True)
    curve, expected = risk_coverage(doubts, errors), brute_force(doubts, errors)
    np.testing.assert_allclose(curve.aurc, float(sum(expected) / len(expected)), atol=1e-12)
    coverage = np.arange(1, len(rows) + 1) / len(rows)
    np.testing.assert_allclose(curve.risk(coverage), [float(risk) for risk in expected], atol=1e-12)
    best = brute_force(errors, errors)
    np.testing.assert_allclose(curve.excess_aurc, float(sum(expected) - sum(best)) / len(best), atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 300), st.integers(0, 300))
def test_a_perfect_order_has_no_excess_and_constant_doubt_the_error_rate(right, wrong):
    if right + wrong == 0:
        return
    errors = np.arange(right + wrong) >= right
    assert risk_coverage(errors.astype(float), errors).excess_aurc == pytest.approx(0.0, abs=1e-12)
    perfect = risk_coverage(np.arange(len(errors)), errors)
    # Nothing is wrong before the last `wrong` decisions.
    assert perfect.aurc == pytest.approx(sum(j / (right + j) for j in range(1, wrong + 1)) / len(errors), abs=1e-12)
    constant = risk_coverage(np.full(len(errors), 0.3), errors)
    assert constant.aurc == pytest.approx(wrong / len(errors), abs=1e-12)
    np.testing.assert_allclose(constant.error_by_part(), np.full(4, wrong / len(errors)), atol=1e-12)
    reverse = risk_coverage(-np.arange(len(errors)), errors)
    assert reverse.aurc >= constant.aurc - 1e-12 >= perfect.aurc - 2e-12


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50), st.randoms())
def test_only_the_order_of_the_doubts_counts(rows, random):
    doubts, errors = (np.array(column) for column in zip(*rows, strict=True))
    curve = risk_coverage(doubts, errors)
    assert 0.0 <= curve.aurc <= 1.0 and 0.0 <= curve.excess_aurc <= curve.aurc + 1e-12
    shuffled = random.sample(range(len(rows)), len(rows))
    np.testing.assert_array_equal(risk_coverage(doubts[shuffled], errors[shuffled]).aurc, curve.aurc)
    assert risk_coverage(doubts * 8.0, errors).aurc == curve.aurc
    assert curve.error_by_part().mean() == pytest.approx(errors.mean(), abs=1e-12)


def test_counts_stand_for_as_many_decisions():
    generator = np.random.default_rng(0)
    doubts = generator.integers(0, 40, 5000) / 40
    errors = generator.random(5000) < doubts
    groups = np.unique(doubts)
    summed = risk_coverage(
        groups, [errors[doubts == group].sum() for group in groups], [(doubts == group).sum() for group in groups]
    )
    whole = risk_coverage(doubts, errors)
    assert summed.aurc == whole.aurc
    # Decision by decision: each tie in the share of its group.
    order = np.argsort(doubts, kind="stable")
    shares = np.array([errors[doubts == doubt].mean() for doubt in doubts[order]])
    assert whole.aurc == pytest.approx(np.mean(np.cumsum(shares) / np.arange(1, 5001)), abs=1e-12)


def test_digamma_equals_scipy():
    x = np.concatenate([np.arange(1.0, 40.0), 10.0 ** np.arange(2, 13), [1.5, 9.99, 10.01]])
    np.testing.assert_allclose(module._digamma(x), digamma(x), atol=1e-13, rtol=1e-14)


def test_infinite_doubt_comes_last():
    assert risk_coverage([np.inf, 0.0, 1e300], [1, 0, 0]).excess_aurc == pytest.approx(0.0, abs=1e-12)


def test_doubt_is_one_minus_the_probability_of_the_decision():
    np.testing.assert_allclose(decision_doubt([[0.2, 0.7, 0.1], [0.4, 0.3, 0.3]]), [0.3, 0.6])
    np.testing.assert_allclose(
        decision_doubt([[0.2, 0.7], [0.3, 1.0]], given=np.array([[False, True], [True, True]])),
        [[0.2, 0.3], [0.7, 0.0]],
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "one at least"),
        (([0.1, 0.2], [0]), "2 doubts, 1 errors"),
        (([0.1, np.nan], [0, 1]), "NaN in 1 of 2"),
        (([0.1], [0.5]), "right or wrong"),
        (([0.1], [2]), "as many errors"),
        (([0.1], [0], [0]), "count of 1 or more"),
    ],
)
def test_bad_decisions_are_a_clear_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        risk_coverage(*arguments)
