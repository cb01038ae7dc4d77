"""The rows that a search reads: whether they fit, and what they are told by."""

from __future__ import annotations

from typing import Any

from hfmnas_keras.data.array_digest import array_digest
from hfmnas_keras.data.feature_set import FeatureSet


def check_rows(train: FeatureSet, dev: FeatureSet, num_outputs: int, names: tuple[str, ...]) -> None:
    """Raises ValueError where features, labels and outputs do not fit each other."""
    for split, rows in (("train", train), ("dev", dev)):
        if rows.num_rows == 0:
            raise ValueError(f"The {split} split has no rows.")
        missing = [name for name in names if name not in rows.features]
        if missing:
            raise ValueError(
                f"The cells read the features {list(names)}, but {split} has {sorted(rows.features)}. "
                "Extract the missing ones or change `lfbc_taps` and `hfbc_taps`."
            )
        classes = rows.labels.shape[1] if rows.multi_label else int(rows.labels.max()) + 1
        if classes > num_outputs or (rows.multi_label and classes != num_outputs):
            raise ValueError(f"Labels of {split} need {classes} outputs. Received: num_outputs={num_outputs}.")
    shapes = [{name: rows.feature_shapes[name] for name in names} for rows in (train, dev)]
    if shapes[0] != shapes[1] or train.multi_label != dev.multi_label:
        raise ValueError(
            "Features and labels of train and dev must have the same shapes. "
            f"Received: {shapes[0]}, multi_label={train.multi_label}; {shapes[1]}, multi_label={dev.multi_label}."
        )


def data_fingerprint(rows: FeatureSet, names: tuple[str, ...]) -> dict[str, Any]:
    """What must be equal for the rows to be the same rows."""
    return {
        "rows": rows.num_rows,
        "shapes": {name: list(rows.feature_shapes[name]) for name in names},
        "sha256": array_digest(rows.labels, *(rows.features[name] for name in names)),
    }
