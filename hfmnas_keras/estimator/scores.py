"""How good given labels are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hfmnas_keras.optimization.f1_score import macro_f1


def scores_of(truth: Sequence[Iterable[str]], given: Sequence[Iterable[str]], classes: Sequence[str]) -> dict[str, Any]:
    """Scores of given labels.

    Args:
        truth, given: the labels of each row, one or several.
        classes: names of all classes of the model.

    Returns:
        dict: `rows`, `macro_f1`, `accuracy` (rows all of whose labels are right) and `f1`, by class.

    Raises:
        ValueError: when a row has a label that the model does not know.
    """
    if unknown := sorted({name for row in truth for name in row} - set(classes)):
        raise ValueError(f"There are labels that the model does not know: {', '.join(unknown[:5])}.")
    is_true, is_given = (
        np.array([[name in set(row) for name in classes] for row in map(tuple, rows)]) for rows in (truth, given)
    )
    # Far from a threshold on either side.
    logits = np.where(is_given, 9.0, -9.0)
    f1 = [macro_f1(is_true[:, [index]], logits[:, [index]]) for index in range(len(classes))]
    return {
        "rows": len(truth),
        "macro_f1": float(np.mean(f1)),
        "accuracy": float((is_true == is_given).all(axis=1).mean()),
        "f1": dict(zip(classes, f1, strict=True)),
    }
