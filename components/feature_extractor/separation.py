"""Whether a classifier can tell the features of train rows from those of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

SEPARATION_FILE = "separation.json"
#: Above it the report warns.
SEPARATION_BAR = 0.65
# More rows say hardly more, and take longer.
_MOST_ROWS = 4000
_PARTS = 5


def separations(
    train: Mapping[str, np.ndarray], dev: Mapping[str, np.ndarray], modalities: Iterable[str], seed: int = 0
) -> dict[str, float | None]:
    """How well boosted trees tell train rows from dev rows by the low and high features of a modality.

    Features of train rows come from networks that were not fitted on them, so that they are like those of rows to come
    (docs/method.md, section 3). 0.5 is chance: they are. A fusion network learns from the one and is asked about the
    other; what tells them apart misleads it.

    Args:
        train, dev: dicts of arrays `(rows, ...)`, `text_low` and so on, of the two splits. Of maps the mean over the
            positions is looked at.
        modalities: the modalities to look at.
        seed: int. Of the trees, and of which rows they learn from.

    Returns:
        dict from modality to the area under the ROC curve, of five parts in turn told by trees that learnt from the
        other four. `None` where a split has fewer rows than that.
    """
    areas: dict[str, float | None] = {}
    for modality in modalities:
        rows = [_columns(split, modality)[_some(len(split[f"{modality}_low"]), seed)] for split in (train, dev)]
        if min(map(len, rows)) < _PARTS:
            areas[modality] = None
            continue
        is_dev = np.repeat([0, 1], [len(part) for part in rows])
        scores = cross_val_predict(
            HistGradientBoostingClassifier(max_iter=60, random_state=seed),
            np.concatenate(rows),
            is_dev,
            cv=StratifiedKFold(_PARTS, shuffle=True, random_state=seed),
            method="predict_proba",
        )[:, 1]
        areas[modality] = float(roc_auc_score(is_dev, scores))
    return areas


def _columns(split: Mapping[str, np.ndarray], modality: str) -> np.ndarray:
    taps = [split[f"{modality}_{tap}"] for tap in ("low", "high")]
    return np.concatenate([tap.reshape(len(tap), -1, tap.shape[-1]).mean(axis=1) for tap in taps], axis=1)


def _some(number: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(number)[:_MOST_ROWS])
