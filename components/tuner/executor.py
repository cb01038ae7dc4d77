"""The executor of Tuner."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.components.tuner import executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import json_utils

from components.checkpoint_folder import checkpoint_folder
from components.code_fingerprint import check_code
from components.local_folders import mirrored_folder, remove_folder

_SPLITS = ("train", "dev")

#: What this stage runs.
CODE = (__name__, "components.tuner.tuning")


class Executor(executor.Executor):
    """TFX's executor, which also tells `tuner_fn` where the artifacts of our own types are."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Calls `tuner_fn`, lets the tuner it returns search, and writes the best values.

        Args:
            input_dict: `examples`, the features, `transform_graph`, and `genotype` where the model is searched.
            output_dict: `best_hyperparameters` and `tuner_results`.
            exec_properties: those of TFX's Tuner; `custom_config` reaches `tuner_fn` with these entries more:
                `genotype_uri` (or None), `train_features_uri`, `dev_features_uri` and `checkpoint_dir`.

        Raises:
            RuntimeError: when no trial came to a score.
        """
        check_code(exec_properties, CODE)
        key = standard_component_specs.CUSTOM_CONFIG_KEY
        custom_config = json_utils.loads(exec_properties[key])
        custom_config["genotype_uri"] = (
            artifact_utils.get_single_uri(input_dict["genotype"]) if input_dict.get("genotype") else None
        )
        for split in _SPLITS:
            custom_config[f"{split}_features_uri"] = artifact_utils.get_split_uri(input_dict["examples"], split)
        checkpoints = checkpoint_folder("Tuner", custom_config["checkpoint_root"], input_dict, exec_properties)
        for artifacts in output_dict.values():
            for artifact in artifacts:
                # Not every orchestrator makes them.
                fileio.makedirs(artifact.uri)
        with mirrored_folder(checkpoints) as custom_config["checkpoint_dir"]:
            super().Do(input_dict, output_dict, {**exec_properties, key: json_utils.dumps(custom_config)})
        remove_folder(checkpoints)
