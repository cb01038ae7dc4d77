"""Which rows have a doubtful label, and in which the modalities do not belong together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

_LEAST = 1e-9


@dataclasses.dataclass(frozen=True)
class Audit:
    """Scores of rows, higher for the more doubtful.

    Args:
        label_doubt: array `(rows,)`. How much more probable than the label the best other class is, by what the
            modalities say of it together: the logarithm of the ratio of the products of their probabilities. Above 0
            they agree on another class. Where a row may have several labels, the same of its most doubtful label, given
            or not: yes against no.
        suggested: int array `(rows,)`, that class; of several labels, the one to add or to take away.
        mismatch: array `(rows,)`. How far apart what the modalities say is, whatever the label: the Jensen-Shannon
            divergence of their probabilities in nats, from 0 to log 2; of several labels, their sum.
    """

    label_doubt: np.ndarray
    suggested: np.ndarray
    mismatch: np.ndarray


def audit(probabilities: Mapping[str, np.ndarray], labels: np.ndarray) -> Audit:
    """Audits rows by what each of two modalities alone says of them (docs/results.md, the audit).

    The rows must be new to the model: one that was trained on them has learned their faults.

    Args:
        probabilities: dict from modality to array `(rows, classes)`, such as `opinion_probabilities` gives; of several
            labels, the probability of each.
        labels: int array `(rows,)`, or array `(rows, classes)`, multi-hot.

    Raises:
        ValueError: when there are not two modalities, or the shapes differ.
    """
    arrays = [np.clip(np.asarray(array, "float64"), _LEAST, None) for array in probabilities.values()]
    if (
        len(arrays) != 2
        or arrays[0].shape != arrays[1].shape
        or np.shape(labels)
        not in (
            arrays[0].shape[:1],
            arrays[0].shape,
        )
    ):
        raise ValueError(
            "An audit needs the probabilities of two modalities, (rows, classes) each, and a label a row. Received: "
            f"{ {name: np.shape(array) for name, array in probabilities.items()} }, labels {np.shape(labels)}."
        )
    if np.ndim(labels) == 2:
        return _audit_of_several(arrays, np.asarray(labels) > 0.5)
    first, second = (array / array.sum(axis=1, keepdims=True) for array in arrays)
    together = np.log(first) + np.log(second)
    rows = np.arange(len(labels))
    others = together.copy()
    others[rows, labels] = -np.inf
    suggested = others.argmax(axis=1)
    middle = (first + second) / 2
    divergence = sum((part * np.log(part / middle)).sum(axis=1) for part in (first, second)) / 2
    return Audit(others[rows, suggested] - together[rows, labels], suggested, divergence)


def opinion_probabilities(belief: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
    """The probabilities that an opinion expects: what is not believed is shared evenly (docs/method.md, section 1).

    Args:
        belief: array `(rows, classes)`.
        uncertainty: array `(rows,)`; of opinions on yes and no, of which the belief in yes is given, `(rows, classes)`.
    """
    belief, uncertainty = np.asarray(belief, "float64"), np.asarray(uncertainty, "float64")
    if uncertainty.ndim == 2:
        return belief + uncertainty / 2
    return belief + uncertainty[:, np.newaxis] / belief.shape[1]


def _audit_of_several(arrays: list[np.ndarray], given: np.ndarray) -> Audit:
    first, second = (np.clip(array, _LEAST, 1 - _LEAST) for array in arrays)
    # Both know how frequent a label is, which counts once.
    usual = np.clip(given.mean(axis=0), 0.5 / len(given), 1 - 0.5 / len(given))
    together = sum(np.log(one) - np.log1p(-one) for one in (first, second)) - (np.log(usual) - np.log1p(-usual))
    doubt = np.where(given, -together, together)
    suggested = doubt.argmax(axis=1)
    middle = (first + second) / 2
    divergence = sum(
        part * np.log(part / middle) + (1 - part) * np.log((1 - part) / (1 - middle)) for part in (first, second)
    )
    return Audit(doubt[np.arange(len(given)), suggested], suggested, divergence.sum(axis=1) / 2)
