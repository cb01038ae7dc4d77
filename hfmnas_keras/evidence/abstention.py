"""When a model should not answer: its modalities contradict each other, or say too little."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Abstention:
    """Bounds on conflict and fused uncertainty, above which a prediction is marked as an abstention.

    The prediction itself stays as it is: whoever asks decides what an abstention means (docs/method.md, section 1).

    Args:
        max_conflict: float in [0, 1] or None. Conflict K above it means to abstain; `None` (default) never does.
        max_uncertainty: float in [0, 1] or None. The same for the fused uncertainty.

    Raises:
        ValueError: when a bound is not in [0, 1].

    Example:
    >>> outputs = {"conflict": np.array([0.1, 0.9]), "uncertainty": np.array([0.2, 0.3])}
    >>> np.array(Abstention(max_conflict=0.5)(outputs))
    array([False,  True])
    """

    max_conflict: float | None = None
    max_uncertainty: float | None = None

    def __post_init__(self) -> None:
        for name, bound in self._bounds().items():
            if bound is not None and not 0.0 <= bound <= 1.0:
                raise ValueError(f"`max_{name}` must be in [0, 1], or None to set no bound. Received: {bound!r}.")

    def __call__(self, outputs: Mapping[str, Any]) -> Any:
        """Marks the predictions to abstain from.

        Args:
            outputs: mapping with `conflict` and `uncertainty`, each `(batch,)` or, multi-label, `(batch, classes)`.

        Returns:
            Boolean tensor of that shape.
        """
        # Plain operators: the configuration of a run holds this class and must not wait for Keras.
        conflict, uncertainty = (
            outputs[name] > (math.inf if bound is None else bound) for name, bound in self._bounds().items()
        )
        return conflict | uncertainty

    def _bounds(self) -> dict[str, float | None]:
        return {"conflict": self.max_conflict, "uncertainty": self.max_uncertainty}
