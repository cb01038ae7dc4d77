"""Which settings can be tuned, and how values of them are put into effect."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.training import TrainingSettings

#: What describes the final model beside its genotype, by part of a run's configuration.
MODEL_SETTINGS: dict[str, type] = {
    "fusion": FusionSettings,
    "final_model": FinalModelSettings,
    "mitigation": MitigationSettings,
    "training": TrainingSettings,
}
#: Settings of the final model and of its training that leave the search and its features as they are. Those of
#: `fusion` and `mitigation` the search reads too; tuned, they change in the final model alone.
TUNABLE = (
    "final_model.channels",
    "final_model.num_cells",
    "fusion.dropout",
    "fusion.num_heads",
    "mitigation.correlation_weight",
    "space.kept_nodes",
    "training.learning_rate",
    "training.weight_decay",
    "training.batch_size",
    "training.label_smoothing",
)
#: Those that only the cells of HF-MNAS have.
OF_HF_MNAS = ("space.kept_nodes", "final_model.num_cells")


def with_values(settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings with some values changed.

    Args:
        settings: mapping from parts, such as `fusion` and `training`, to their settings. A part that is not here is
            left out: the kept nodes are those of the genotype, see `fitting`.
        values: mapping from names in `TUNABLE` to values.

    Returns:
        dict like `settings`.

    Raises:
        ValueError: when a name is not in `TUNABLE`, or the settings do not allow a value.
    """
    changed = dict(settings)
    for name, value in values.items():
        if name not in TUNABLE:
            raise ValueError(f"{name!r} cannot be tuned. What can: {', '.join(TUNABLE)}.")
        part, field = name.split(".")
        if part in changed:
            changed[part] = dataclasses.replace(changed[part], **{field: value})
    return changed


def fitting(genotype: Any, values: Mapping[str, Any]) -> Any:
    """The genotype with as many kept nodes as the values say; without a word of them, and `None`, as it is."""
    kept_nodes = values.get("space.kept_nodes")
    return genotype if genotype is None or kept_nodes is None else genotype.with_kept_nodes(kept_nodes)
