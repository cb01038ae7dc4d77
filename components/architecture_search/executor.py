"""The work of ArchitectureSearch."""

from __future__ import annotations

import json
import os
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils

from components.checkpoint_folder import checkpoint_folder
from components.code_fingerprint import check_code
from components.execution import with_execution
from components.local_folders import mirrored_folder, remove_folder, writable_folder
from components.settings_json import settings_from_json
from components.splits import read_features
from hfmnas_keras.genotype.load_genotype import save_genotypes
from hfmnas_keras.pretraining.backbone_files import BACKBONES_FILE
from hfmnas_keras.search.architecture_search import search_architecture
from hfmnas_keras.settings.fusion import FusionSettings, MitigationSettings
from hfmnas_keras.settings.models import SEARCHED_MODELS
from hfmnas_keras.settings.search import SearchSettings

#: What this stage runs.
CODE = (__name__,)


class Executor(base_executor.BaseExecutor):
    """Reads the cached features, searches, writes genotype and report."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Searches an architecture.

        Args:
            input_dict: `features`, Examples with the splits `train` and `dev`; `backbones`, which made them.
            output_dict: `genotype` and `search_report`.
            exec_properties: `model`; `num_outputs`; `fusion`, `mitigation`, `space` and `search`, settings as JSON;
                `checkpoint_root`; `code_fingerprint`.
        """
        check_code(exec_properties, CODE)
        features = artifact_utils.get_single_instance(input_dict["features"])
        backbones_uri = artifact_utils.get_single_uri(input_dict["backbones"])
        with fileio.open(os.path.join(backbones_uri, BACKBONES_FILE), "r") as file:
            backbones = json.load(file)
        genotype = artifact_utils.get_single_instance(output_dict["genotype"])
        report = artifact_utils.get_single_instance(output_dict["search_report"])
        checkpoints = checkpoint_folder(
            "ArchitectureSearch", exec_properties["checkpoint_root"], input_dict, exec_properties
        )
        with (
            mirrored_folder(checkpoints) as checkpoint_dir,
            writable_folder(genotype.uri) as genotype_folder,
            writable_folder(report.uri) as report_folder,
        ):
            result = search_architecture(
                train=read_features(features, "train"),
                dev=read_features(features, "dev"),
                num_outputs=exec_properties["num_outputs"],
                fusion=settings_from_json(FusionSettings, exec_properties["fusion"]),
                settings=with_execution("search", settings_from_json(SearchSettings, exec_properties["search"])),
                checkpoint_dir=checkpoint_dir,
                report_dir=report_folder,
                unimodal_heads=backbones["modalities"],
                model=exec_properties["model"],
                space=settings_from_json(
                    SEARCHED_MODELS[exec_properties["model"]].supernet.SPACE_CLASS, exec_properties["space"]
                ),
                mitigation=settings_from_json(MitigationSettings, exec_properties["mitigation"]),
            )
            save_genotypes([result.genotype, *result.others], genotype_folder)
        report.set_float_custom_property("seconds", float(result.cost["seconds"]))
        report.set_float_custom_property("largest_travel", float(result.travel.get("largest", 0.0)))
        report.set_string_custom_property("verdict", result.verdict)
        remove_folder(checkpoints)
