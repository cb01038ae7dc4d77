"""The work of LinearReferenceTrainer."""

from __future__ import annotations

import json
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.code_fingerprint import check_code
from components.linear_references.raw_rows import read_raw_rows
from components.linear_references.references import fit_references

#: Rows of train and of dev that are read at most: more would take minutes and change little.
LARGEST_SPLIT = 20_000

#: What this stage runs.
CODE = (__name__,)


class Executor(base_executor.BaseExecutor):
    """Reads train and dev, fits the linear models, writes them and their scores on dev."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fits the references.

        Args:
            input_dict: `examples`, raw, with the splits `train` and `dev`.
            output_dict: `references`, a `LinearReferences`; gets the custom property `{model}_dev_f1_m` for each model.
            exec_properties: `class_names` and `modalities`, JSON lists; `multi_label`, 0 or 1; `code_fingerprint`.
        """
        check_code(exec_properties, CODE)
        self._log_startup(input_dict, output_dict, exec_properties)
        references = artifact_utils.get_single_instance(output_dict["references"])
        modalities, class_names = (json.loads(exec_properties[key]) for key in ("modalities", "class_names"))
        multi_label = bool(exec_properties["multi_label"])
        train, dev = (
            read_raw_rows(
                artifact_utils.get_split_uris(input_dict["examples"], split),
                modalities,
                class_names,
                multi_label,
                LARGEST_SPLIT,
            )
            for split in ("train", "dev")
        )
        fitted = fit_references(train, dev, class_names, multi_label)
        fitted.save(references.uri)
        for name, score in fitted.dev_macro_f1.items():
            references.set_float_custom_property(f"{name}_dev_f1_m", score)
        scores = ", ".join(f"{name} {score:.3f}" for name, score in fitted.dev_macro_f1.items())
        logging.info("Macro F1 of linear models on dev: %s.", scores)
