"""Which model a candidate is compared with, by TFX's own artifacts."""

from __future__ import annotations

import pytest
from tfx.types import standard_artifacts

from components.evaluator.baseline_strategy import OtherBlessedModelStrategy


def _resolve(models: dict[int, bool | None], candidate: int) -> list[int]:
    """Ids of the resolved baseline; `models` maps an id to the gate's word, `None` where it did not speak yet."""
    artifacts = {}
    blessings = []
    for number, blessed in models.items():
        artifacts[number] = standard_artifacts.Model()
        artifacts[number].id = number
        if blessed is not None:
            blessing = standard_artifacts.ModelBlessing()
            blessing.id = 100 + number
            blessing.set_int_custom_property("current_model_id", number)
            blessing.set_int_custom_property("blessed", int(blessed))
            blessings.append(blessing)
    resolved = OtherBlessedModelStrategy().resolve_artifacts(
        None, {"model": list(artifacts.values()), "model_blessing": blessings, "candidate": [artifacts[candidate]]}
    )
    assert [artifact.id for artifact in resolved["candidate"]] == [candidate]
    assert [artifact.id - 100 for artifact in resolved["model_blessing"]] == [m.id for m in resolved["model"]]
    return [artifact.id for artifact in resolved["model"]]


@pytest.mark.parametrize(
    ("models", "candidate", "baseline"),
    [
        ({1: None}, 1, []),
        ({1: True}, 1, []),
        ({1: True, 2: None}, 2, [1]),
        ({1: True, 2: True}, 2, [1]),
        ({1: True, 2: True, 3: False}, 3, [2]),
        # An older model, from the cache, must stand against what serves now.
        ({1: True, 2: True}, 1, [2]),
        ({1: False, 2: None}, 2, []),
    ],
)
def test_the_baseline_is_the_latest_other_blessed_model(models, candidate, baseline):
    assert _resolve(models, candidate) == baseline
