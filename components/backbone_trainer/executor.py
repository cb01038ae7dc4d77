"""The work of BackboneTrainer."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import tensorflow_transform as tft
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.backbone_trainer.known_pieces import tell_known_pieces
from components.backbone_trainer.recipes import make_recipe
from components.checkpoint_folder import checkpoint_folder
from components.code_fingerprint import check_code
from components.local_folders import mirrored_folder, readable_file, remove_folder, writable_folder
from components.settings_json import settings_from_json
from components.splits import read_examples
from hfmnas_keras.data.feature_files import write_feature_set
from hfmnas_keras.data.feature_set import FeatureSet
from hfmnas_keras.pretraining.pretraining import pretrain_backbones
from hfmnas_keras.settings.backbones import PATH_SETTINGS, backbone_settings_class
from hfmnas_keras.settings.pretraining import PretrainingSettings

#: What this stage runs.
CODE = (__name__,)


class Executor(base_executor.BaseExecutor):
    """Reads train and dev, trains a backbone for each modality, writes them with their scores."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains the backbones.

        Args:
            input_dict: `examples`, transformed; `transform_graph`.
            output_dict: `backbones`; `taps`, Examples with `train` and `dev`, or without splits where the taps of
                every modality see labels, or a killed attempt had computed them.
            exec_properties: `num_outputs`; `multi_label`; `grid`, as JSON; `pretraining`, settings as JSON;
                `backbones_settings`, JSON of a mapping from modality to settings as JSON; `checkpoint_root`;
                `files_fingerprint`; `code_fingerprint`.

        Raises:
            RuntimeError: when the examples are single-label and the pipeline multi-label, or the reverse, or when
                they lack a modality.
        """
        check_code(exec_properties, CODE)
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        backbones = artifact_utils.get_single_instance(output_dict["backbones"])
        transform_graph = tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict["transform_graph"]))
        train, dev = (read_examples(examples, split) for split in ("train", "dev"))
        if train.multi_label != bool(exec_properties["multi_label"]):
            raise RuntimeError(
                f"The examples have multi_label={train.multi_label}, the pipeline says "
                f"multi_label={bool(exec_properties['multi_label'])}."
            )
        train_inputs, dev_inputs = train.inputs(), dev.inputs()
        backbones_settings = json.loads(exec_properties["backbones_settings"])
        if missing := sorted(set(backbones_settings) - set(train_inputs)):
            raise RuntimeError(f"The examples have no {missing}, which the pipeline wants, but {[*train_inputs]}.")
        checkpoints = checkpoint_folder(
            "BackboneTrainer", exec_properties["checkpoint_root"], input_dict, exec_properties
        )
        of_modality: dict[str, Any] = {
            modality: settings_from_json(backbone_settings_class(modality, json.loads(settings).get("kind")), settings)
            for modality, settings in backbones_settings.items()
        }
        if "text" in of_modality:
            tell_known_pieces(of_modality["text"], {"train": train_inputs["text"], "dev": dev_inputs["text"]})
        with contextlib.ExitStack() as copies:
            recipes = {
                modality: make_recipe(
                    modality,
                    _with_local_files(settings, copies),
                    exec_properties["num_outputs"],
                    tuple(train_inputs[modality].shape[1:]),
                    tuple(json.loads(exec_properties["grid"])),
                    transform_graph,
                )
                for modality, settings in of_modality.items()
            }
            work_dir = copies.enter_context(mirrored_folder(checkpoints))
            folder = copies.enter_context(writable_folder(backbones.uri))
            frozen_taps: dict[str, dict[str, Any]] = {}
            record = pretrain_backbones(
                recipes,
                train_inputs,
                train.labels,
                train.ids,
                dev_inputs,
                dev.labels,
                folder,
                settings_from_json(PretrainingSettings, exec_properties["pretraining"]),
                work_dir=work_dir,
                frozen_taps=frozen_taps,
                lacking=(train.lacking(), dev.lacking()),
            )
        taps = artifact_utils.get_single_instance(output_dict["taps"])
        taps.split_names = artifact_utils.encode_split_names([*frozen_taps])
        for split, rows in (("train", train), ("dev", dev)):
            if split in frozen_taps:
                write_feature_set(
                    FeatureSet(ids=rows.ids, features=frozen_taps[split], labels=rows.labels),
                    artifact_utils.get_split_uri([taps], split),
                )
        backbones.set_string_custom_property("modalities", ",".join(recipes))
        for modality, result in record["modalities"].items():
            backbones.set_float_custom_property(f"{modality}_dev_f1_m", float(result["dev_macro_f1"]))
        remove_folder(checkpoints)


def _with_local_files(settings: Any, copies: contextlib.ExitStack) -> Any:
    """Copies the files in buckets that settings name, for as long as `copies` is open."""
    local = {
        name: copies.enter_context(readable_file(path))
        for name in PATH_SETTINGS
        if (path := getattr(settings, name, None)) is not None
    }
    return dataclasses.replace(settings, **local) if local else settings
