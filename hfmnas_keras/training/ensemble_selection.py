"""Which of several trained networks vote, and with how many votes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Votes that are given out, of which the best beginning is kept.
ROUNDS = 25
# What is less is rounding: a network alone would be counted up.
_LEAST_GAIN = 1e-9


def select_votes(labels: np.ndarray, logits: Sequence[np.ndarray], rounds: int = ROUNDS) -> list[int]:
    """Greedy selection with replacement, on rows that the networks were not fitted on.

    Each round gives one vote to the network with which the mean of the probabilities has the lowest loss. The first
    vote goes to the best network. The round of the lowest loss is kept, the earliest of equal ones.

    Args:
        labels: int array `(rows,)` of class ids, or array `(rows, classes)`, multi-hot.
        logits: for each network a float array `(rows, classes)`.
        rounds: int. Most votes. Defaults to `25`.

    Returns:
        Votes of each network, 0 for one that is not needed.

    Raises:
        ValueError: when labels and logits do not fit.

    Example:
    >>> select_votes(np.array([0, 1]), [np.array([[9.0, 0.0], [9.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])])
    [0, 1]

    Reference:
     - [Caruana et al., 2004](https://doi.org/10.1145/1015330.1015432), with the loss in the place of their metrics:
       it moves with every row, where F1 on a small dev split moves by chance.
    """
    shapes = {np.shape(array) for array in logits}
    if len(shapes) != 1 or np.shape(labels) not in {shape[: np.ndim(labels)] for shape in shapes}:
        raise ValueError(
            "Each network needs logits of the same shape, (rows, classes), and as many rows as there are labels. "
            f"Received: logits {sorted(shapes)}, labels {np.shape(labels)}."
        )
    multi_label = np.ndim(labels) == 2
    probabilities = np.stack([_probabilities(array, multi_label) for array in logits])
    votes = np.zeros(len(probabilities), "int64")
    total = np.zeros_like(probabilities[0])
    best, kept = np.inf, votes
    for count in range(1, rounds + 1):
        losses = [_loss(labels, (total + own) / count) for own in probabilities]
        chosen = int(np.argmin(losses))
        total = total + probabilities[chosen]
        votes = votes + (np.arange(len(votes)) == chosen)
        if losses[chosen] < best - _LEAST_GAIN:
            best, kept = losses[chosen], votes
    return [int(count) for count in kept]


def vote(logits: Sequence[np.ndarray], votes: Sequence[float], multi_label: bool) -> np.ndarray:
    """Logits whose probabilities are the mean of the networks' own, each counted by its votes.

    Args:
        logits: for each network a float array `(rows, classes)`.
        votes: of each network, not all 0.
        multi_label: bool. Sigmoid instead of softmax.

    Returns:
        float64 array `(rows, classes)`.
    """
    counted = [index for index, count in enumerate(votes) if count]
    weights = np.log([votes[index] / sum(votes) for index in counted])[:, None, None]
    values = np.stack([np.asarray(logits[index], "float64") for index in counted])
    if not multi_label:
        return np.logaddexp.reduce(weights + values - np.logaddexp.reduce(values, axis=-1, keepdims=True), axis=0)
    yes, no = (np.logaddexp.reduce(weights - np.logaddexp(0.0, sign * values), axis=0) for sign in (-1.0, 1.0))
    return yes - no


def _probabilities(logits: np.ndarray, multi_label: bool) -> np.ndarray:
    logits = np.asarray(logits, "float64")
    if multi_label:
        return np.exp(-np.logaddexp(0.0, -logits))
    return np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))


def _loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Cross-entropy, the mean over rows and, of several labels, over those too."""
    smallest = np.finfo("float64").tiny
    if np.ndim(labels) == 1:
        return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], smallest)).mean())
    given = np.where(np.asarray(labels) > 0.5, probabilities, 1.0 - probabilities)
    return float(-np.log(np.maximum(given, smallest)).mean())
