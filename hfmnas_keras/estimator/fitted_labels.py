"""Checks that labels are some to fit on."""

from __future__ import annotations

from hfmnas_keras.estimator.labels import Labels

_LEAST_ROWS = 8


def checked_classes(train: Labels, num_rows: int) -> tuple[str, ...]:
    """The classes of rows to train on; raises `ValueError` where nothing can be learned of them."""
    classes = train.classes
    if len(classes) < 2 or num_rows < _LEAST_ROWS:
        raise ValueError(
            f"A fit needs two classes and {_LEAST_ROWS} rows to train on at least. Received: {len(classes)} classes "
            f"({', '.join(classes[:3])}) in {num_rows} rows."
        )
    if len(classes) > num_rows / 2 and not train.multi_label:
        raise ValueError(
            f"There are {len(classes)} different labels in {num_rows} rows. These are no classes: name another "
            "column by `label`."
        )
    return classes


def check_dev(dev: Labels, multi_label: bool, classes: tuple[str, ...]) -> None:
    """Raises `ValueError` where dev rows have labels that cannot be predicted."""
    if unknown := sorted(set(dev.classes) - set(classes)):
        raise ValueError(f"`dev` has labels that no row to train on has: {', '.join(unknown[:5])}.")
    if dev.multi_label and not multi_label:
        raise ValueError("`dev` has rows of several labels, the rows to train on have one each.")
