from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import f1_score

from pipeline.studies.statistics import Interval, bootstrap_interval, paired_interval, spread, unpaired_interval


def test_paired_interval_is_that_of_scipys_paired_t_test():
    generator = np.random.default_rng(0)
    values, reference = generator.normal(size=(2, 5))
    expected = scipy.stats.ttest_rel(values, reference).confidence_interval(0.95)
    interval = paired_interval(list(values), list(reference))
    assert interval.difference == pytest.approx(np.mean(values) - np.mean(reference))
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_unpaired_interval_is_that_of_welchs_formula():
    generator = np.random.default_rng(1)
    values, reference = generator.normal(1.0, 2.0, 10), generator.normal(size=3)
    parts = [np.var(sample, ddof=1) / len(sample) for sample in (values, reference)]
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 9 + parts[1] ** 2 / 2)
    margin = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(sum(parts))
    interval = unpaired_interval(list(values), list(reference))
    difference = values.mean() - reference.mean()
    assert vars(interval) == pytest.approx(
        {"difference": difference, "low": difference - margin, "high": difference + margin}
    )
    assert unpaired_interval([0.5, 0.6], [0.4]) is None
    assert unpaired_interval([0.5, 0.5], [0.4, 0.4, 0.4]) == Interval(*[pytest.approx(0.1)] * 3)


def test_two_seeds_have_the_closed_form_of_cauchys_distribution():
    # One degree of freedom: the quantile is tan(pi (p - 1/2)).
    interval = paired_interval([0.5, 0.9], [0.4, 0.6])
    margin = np.tan(np.pi * 0.475) * 0.1
    assert (interval.difference, interval.high) == pytest.approx((0.2, 0.2 + margin))


def test_what_cannot_be_said_is_not_said():
    assert paired_interval([0.5], [0.4]) is None and spread([0.5]) is None
    assert spread([1.0, 3.0]) == pytest.approx(np.sqrt(2))
    with pytest.raises(ValueError, match="2 and 1"):
        paired_interval([0.5, 0.4], [0.4])


@pytest.mark.parametrize(
    "interval, excludes", [((0.1, 0.01, 0.2), True), ((-0.1, -0.2, -0.01), True), ((0.1, -0.01, 0.2), False)]
)
def test_an_interval_excludes_zero(interval, excludes):
    assert Interval(*interval).excludes_zero is excludes


@pytest.mark.parametrize("multi_label", [False, True])
def test_bootstrap_is_scikit_learns_macro_f1_on_the_rows_drawn(multi_label):
    generator = np.random.default_rng(1)
    rows, classes, resamples = 30, 4, 25
    if multi_label:
        labels = (generator.random((rows, classes)) < 0.4).astype("float32")
        first, second = generator.random((2, rows, classes))

        def given(probabilities):
            return (probabilities > (0.3 if probabilities is first else [0.2, 0.4, 0.5, 0.6])).astype(int)
    else:
        # The last class has no row at all.
        labels = generator.integers(0, classes - 1, rows)
        first, second = generator.dirichlet(np.ones(classes), (2, rows))

        def given(probabilities):
            return probabilities.argmax(axis=1)

    def difference(chosen):
        scores = [
            f1_score(
                labels[chosen], given(probabilities)[chosen], labels=range(classes), average="macro", zero_division=0
            )
            for probabilities in (first, second)
        ]
        return scores[0] - scores[1]

    counts = np.random.default_rng(5).multinomial(rows, np.full(rows, 1 / rows), resamples)
    drawn = [difference(np.repeat(np.arange(rows), count)) for count in counts]
    thresholds = (0.3, np.array([0.2, 0.4, 0.5, 0.6]))
    interval = bootstrap_interval(labels, first, second, thresholds, resamples=resamples, seed=5)
    assert interval.difference == pytest.approx(difference(np.arange(rows)))
    assert (interval.low, interval.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
