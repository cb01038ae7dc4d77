"""The rows that search and training read: cached features, token ids and labels of one split."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class FeatureSet:
    """Cached features of one split, row by row in the same order.

    Args:
        ids: array of str, shape `(rows,)`.
        features: dict from feature name, such as `"text_low"`, to float32 array, `(rows, channels)` for a vector or
            `(rows, height, width, channels)` for a pooled map.
        labels: array, int64 class ids `(rows,)`, or float32 multi-hot `(rows, classes)`.
        tokens: optional int64 array of token ids, 0 is padding, `(rows, max_tokens)`.

    Raises:
        ValueError: when the arrays differ in their number of rows, or a feature is not finite.
    """

    ids: np.ndarray
    features: dict[str, np.ndarray]
    labels: np.ndarray
    tokens: np.ndarray | None = None

    def __post_init__(self) -> None:
        rows = len(self.ids)
        arrays = dict(self.features, labels=self.labels)
        if self.tokens is not None:
            arrays["tokens"] = self.tokens
        for name, array in arrays.items():
            if len(array) != rows:
                raise ValueError(
                    f"Every array needs one row an id. Received: {rows} ids and `{name}` of {array.shape}."
                )
        for name, array in self.features.items():
            if not np.isfinite(array).all():
                raise ValueError(
                    f"Feature `{name}` holds NaN or infinity in {int((~np.isfinite(array)).sum())} places."
                )

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {shape}" for name, shape in self.feature_shapes.items())
        labels = f"{self.labels.shape[1]} labels" if self.multi_label else "class ids"
        tokens = "" if self.tokens is None else f", tokens ({self.tokens.shape[1]},)"
        return f"FeatureSet({self.num_rows} rows of {labels}: {shapes}{tokens})"

    @property
    def num_rows(self) -> int:
        return len(self.ids)

    @property
    def multi_label(self) -> bool:
        return self.labels.ndim == 2

    @property
    def feature_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each feature without the rows, as `Supernet` and `searched_model` take it."""
        return {name: tuple(array.shape[1:]) for name, array in self.features.items()}

    def inputs(self) -> dict[str, np.ndarray]:
        """What the fusion network takes: the features by name, and `tokens` where there are any."""
        return dict(self.features) if self.tokens is None else dict(self.features, tokens=self.tokens)

    def joined(self, other: FeatureSet) -> FeatureSet:
        """The rows of both, this one's first (for the retraining on train + dev)."""
        return FeatureSet(
            ids=np.concatenate([self.ids, other.ids]),
            features={name: np.concatenate([array, other.features[name]]) for name, array in self.features.items()},
            labels=np.concatenate([self.labels, other.labels]),
            tokens=None if self.tokens is None else np.concatenate([self.tokens, other.tokens]),
        )
