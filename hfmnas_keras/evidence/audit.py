"""Which rows have a doubtful label, and in which the modalities do not belong together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

_LEAST = 1e-9


@dataclasses.dataclass(frozen=True)
class Audit:
    """Scores of single-label rows, higher for the more doubtful.

    Args:
        label_doubt: array `(rows,)`. How much more probable than the label the best other class is, by what the
            modalities say of it together: the logarithm of the ratio of the products of their probabilities. Above 0
            they agree on another class.
        suggested: int array `(rows,)`, that class.
        mismatch: array `(rows,)`. How far apart what the modalities say is, whatever the label: the Jensen-Shannon
            divergence of their probabilities in nats, from 0 to log 2.
    """

    label_doubt: np.ndarray
    suggested: np.ndarray
    mismatch: np.ndarray


def audit(probabilities: Mapping[str, np.ndarray], labels: np.ndarray) -> Audit:
    """Audits rows by what each of two modalities alone says of them (docs/results.md, the audit).

    The rows must be new to the model: one that was trained on them has learned their faults.

    Args:
        probabilities: dict from modality to array `(rows, classes)`, such as `opinion_probabilities` gives.
        labels: int array `(rows,)`.

    Raises:
        ValueError: when there are not two modalities, or the shapes differ.
    """
    arrays = [np.clip(np.asarray(array, "float64"), _LEAST, None) for array in probabilities.values()]
    if len(arrays) != 2 or arrays[0].shape != arrays[1].shape or arrays[0].shape[:1] != np.shape(labels):
        raise ValueError(
            "An audit needs the probabilities of two modalities, (rows, classes) each, and a label a row. Received: "
            f"{ {name: np.shape(array) for name, array in probabilities.items()} }, labels {np.shape(labels)}."
        )
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
        uncertainty: array `(rows,)`.
    """
    belief = np.asarray(belief, "float64")
    return belief + np.asarray(uncertainty, "float64")[:, np.newaxis] / belief.shape[1]
