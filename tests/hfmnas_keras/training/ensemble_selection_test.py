import itertools

import numpy as np
import pytest
from scipy.special import expit, softmax

from hfmnas_keras.training.ensemble_selection import select_votes, vote


def make_case(multi_label, seed=0, networks=5, rows=40):
    """Networks of unequal worth, each right about other rows."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, size=rows)
    truth = np.eye(3)[labels]
    logits = [
        (truth - 0.5) * generator.uniform(0, 4, size=(rows, 1)) + generator.normal(size=(rows, 3)) * 1.5
        for _ in range(networks)
    ]
    return (truth.astype("float32") if multi_label else labels), [array.astype("float32") for array in logits]


def bag_loss(labels, logits, bag):
    """Cross-entropy of the mean of the probabilities of a bag of networks, from its definition."""
    squash = expit if labels.ndim == 2 else (lambda array: softmax(array, axis=1))
    mean = sum(squash(logits[number].astype("float64")) for number in bag) / len(bag)
    if labels.ndim == 1:
        return -np.mean([np.log(row[label]) for row, label in zip(mean, labels, strict=True)])
    cells = zip(mean.ravel(), labels.ravel(), strict=True)
    return -np.mean([np.log(p) if label else np.log(1 - p) for p, label in cells])


def greedy_bags(labels, logits, rounds):
    bags = [[]]
    for _ in range(rounds):
        candidates = [[*bags[-1], number] for number in range(len(logits))]
        bags.append(min(candidates, key=lambda bag: bag_loss(labels, logits, bag)))
    return bags[1:]


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_votes_are_those_of_the_best_greedy_bag(multi_label, seed):
    labels, logits = make_case(multi_label, seed)
    bags = greedy_bags(labels, logits, 12)
    best = min(bags, key=lambda bag: bag_loss(labels, logits, bag))
    votes = select_votes(labels, logits, rounds=12)
    assert votes == [best.count(number) for number in range(5)]
    # A network comes in more than once: with replacement.
    assert max(votes) > 1
    # The whole is better than its best part.
    assert bag_loss(labels, logits, best) < min(bag_loss(labels, logits, [number]) for number in range(5))


def test_who_is_best_alone_stays_alone_where_none_helps():
    labels = np.array([0, 1, 2])
    right = 5.0 * np.eye(3)
    assert select_votes(labels, [np.zeros((3, 3)), right, -right]) == [0, 1, 0]


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_vote_is_the_mean_of_the_probabilities(multi_label):
    _, logits = make_case(multi_label, networks=3)
    squash = expit if multi_label else (lambda array: softmax(array, axis=1))
    expected = (2 * squash(logits[0].astype("float64")) + squash(logits[2].astype("float64"))) / 3
    np.testing.assert_allclose(squash(vote(logits, [2, 0, 1], multi_label)), expected, rtol=1e-12)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_network_that_is_wrong_beyond_all_doubt_is_counted_and_not_a_nan(multi_label):
    labels, _ = make_case(multi_label, rows=3)
    sure = np.where(labels > 0.5, -2e3, 2e3) if multi_label else -2e3 * np.eye(3)[labels]
    # A guess is better, and nothing is gained by the other.
    assert select_votes(labels, [sure, np.zeros((3, 3))]) == [0, 1]
    assert np.isfinite(vote([sure, np.zeros((3, 3))], [1, 3], multi_label)).all()


@pytest.mark.parametrize(
    "labels, shapes",
    [(np.zeros(4, "int64"), [(4, 3), (4, 2)]), (np.zeros(5, "int64"), [(4, 3)]), (np.zeros((4, 2)), [(4, 3)])],
)
def test_what_does_not_fit_is_refused(labels, shapes):
    with pytest.raises(ValueError, match="logits of the same shape"):
        select_votes(labels, [np.zeros(shape) for shape in shapes])


def test_more_rounds_never_lose():
    labels, logits = make_case(False)
    losses = []
    for rounds in range(1, 9):
        votes = select_votes(labels, logits, rounds)
        bag = list(itertools.chain.from_iterable([number] * count for number, count in enumerate(votes)))
        losses.append(bag_loss(labels, logits, bag))
    assert losses == sorted(losses, reverse=True)
