"""Which settings can be tuned, and how values of them are put into effect."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.training import TrainingSettings

#: Settings of the final model and of its training that leave the search and its features as they are.
TUNABLE = (
    "fusion.channels",
    "fusion.dropout",
    "fusion.correlation_weight",
    "fusion.kept_nodes",
    "fusion.num_cells",
    "fusion.num_heads",
    "training.learning_rate",
    "training.weight_decay",
    "training.batch_size",
    "training.label_smoothing",
)
#: Those that only the cells of HF-MNAS have.
OF_HF_MNAS = ("fusion.kept_nodes", "fusion.num_cells")


def with_values(
    fusion: FusionSettings, training: TrainingSettings, values: Mapping[str, Any]
) -> tuple[FusionSettings, TrainingSettings]:
    """Returns the settings with some values changed.

    Args:
        fusion: `FusionSettings`.
        training: `TrainingSettings`.
        values: mapping from names in `TUNABLE` to values.

    Returns:
        `FusionSettings` and `TrainingSettings`.

    Raises:
        ValueError: when a name is not in `TUNABLE`, or the settings do not allow a value.
    """
    changes: dict[str, dict[str, Any]] = {"fusion": {}, "training": {}}
    for name, value in values.items():
        if name not in TUNABLE:
            raise ValueError(f"{name!r} cannot be tuned. What can: {', '.join(TUNABLE)}.")
        part, field = name.split(".")
        changes[part][field] = value
    return dataclasses.replace(fusion, **changes["fusion"]), dataclasses.replace(training, **changes["training"])


def value_of(name: str, fusion: FusionSettings, training: TrainingSettings) -> int | float:
    """The value that a name in `TUNABLE` has in the settings."""
    part, field = name.split(".")
    return getattr({"fusion": fusion, "training": training}[part], field)


def fitting(genotype: Any, values: Mapping[str, Any]) -> Any:
    """The genotype with as many kept nodes as the values say; without a word of them, and `None`, as it is."""
    kept_nodes = values.get("fusion.kept_nodes")
    return genotype if genotype is None or kept_nodes is None else genotype.with_kept_nodes(kept_nodes)
