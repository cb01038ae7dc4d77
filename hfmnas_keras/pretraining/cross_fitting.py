"""Which fold a row belongs to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np


def folds_of(ids: Sequence[str] | np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of each row, from its id or other key alone: the same in whatever order or company the rows come.

    Args:
        ids: ids of the rows, or what `fold_keys` returns.
        folds: int. Number of folds.
        seed: int.

    Returns:
        int array `(rows,)` in `range(folds)`: `int(sha256("{seed}:{id}"), 16) % folds`.
    """
    return np.array(
        [int(hashlib.sha256(f"{seed}:{row_id}".encode()).hexdigest(), 16) % folds for row_id in ids], "int64"
    )


def fold_keys(ids: Sequence[str] | np.ndarray, rows: Any) -> Sequence[str] | np.ndarray:
    """What `folds_of` sorts the rows of a modality by: their ids, or of texts their tokens, whatever the order.

    So rows of the same words share a fold. Spread over folds, each would be known, with its label, to the network that
    makes its features, as no row of another split is: near-twins are rarely spread over splits.

    Args:
        ids: ids of the rows.
        rows: array `(rows, ...)`, or what stands for one; whole numbers `(rows, max_tokens)` are a text's tokens.
    """
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or not np.issubdtype(rows.dtype, np.integer):
        return ids
    return [" ".join(map(str, np.unique(row[row > 0]))) for row in rows]
