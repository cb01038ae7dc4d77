"""Which fold a row belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def folds_of(ids: Sequence[str], folds: int, seed: int) -> np.ndarray:
    """Fold of each row, from its id alone: the same in whatever order or company the rows come.

    Args:
        ids: ids of the rows.
        folds: int. Number of folds.
        seed: int.

    Returns:
        int array `(rows,)` in `range(folds)`: `int(sha256("{seed}:{id}"), 16) % folds`.
    """
    return np.array(
        [int(hashlib.sha256(f"{seed}:{row_id}".encode()).hexdigest(), 16) % folds for row_id in ids], "int64"
    )
