"""Which model the gate compares a new one with."""

from __future__ import annotations

import ml_metadata as mlmd
from tfx import types
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy

CANDIDATE_KEY = "candidate"


class OtherBlessedModelStrategy(LatestBlessedModelStrategy):
    """Resolves the latest blessed model that is not the candidate itself.

    A model that comes from the cache may be the one that was blessed last. To compare it with itself would tell nothing
    and, being a new input, would make the Evaluator run again; so it keeps the baseline that it was blessed against.

    ```python
    latest_blessed = tfx.dsl.Resolver(
        strategy_class=OtherBlessedModelStrategy,
        model=Channel(type=Model),
        model_blessing=Channel(type=ModelBlessing),
        candidate=trainer.outputs["model"],
    ).with_id("LatestBlessedModel")
    ```

    Kubeflow knows TFX's own strategies alone; there `components.served_model` stands in its place.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Returns the model and its blessing, both empty where there is no other blessed model; and the candidate.

        Args:
            store: ML Metadata.
            input_dict: `candidate`, and under two further keys all models and all blessings.
        """
        candidates = input_dict[CANDIDATE_KEY]
        ids = {artifact.id for artifact in candidates}
        others = {
            key: [artifact for artifact in artifacts if artifact.id not in ids]
            for key, artifacts in input_dict.items()
            if key != CANDIDATE_KEY
        }
        resolved = super().resolve_artifacts(store, others)
        return {**(resolved or {key: [] for key in others}), CANDIDATE_KEY: candidates}
