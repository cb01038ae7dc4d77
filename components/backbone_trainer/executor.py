"""The work of BackboneTrainer."""

from __future__ import annotations

import shutil
from typing import Any

import tensorflow_transform as tft
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.checkpoint_folder import checkpoint_folder
from components.local_folders import writable_folder
from components.settings_json import settings_from_json
from components.splits import read_examples
from components.transform.preprocessing import vocabulary_size
from components.vocabulary import read_vocabulary
from hfmnas_keras.settings import FusionSettings, ImageBackboneSettings, PretrainingSettings, TextBackboneSettings
from hfmnas_keras.training.backbone_recipe import image_recipe, text_recipe
from hfmnas_keras.training.pretraining import pretrain_backbones


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
            output_dict: `backbones`.
            exec_properties: `num_outputs`; `multi_label`; `fusion`, `text`, `image` and `pretraining`, settings as
                JSON; `checkpoint_root`; `files_fingerprint`; `code_fingerprint`.

        Raises:
            RuntimeError: when the examples are single-label and the pipeline multi-label, or the reverse.
        """
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        backbones = artifact_utils.get_single_instance(output_dict["backbones"])
        transform_graph = tft.TFTransformOutput(artifact_utils.get_single_uri(input_dict["transform_graph"]))
        train, dev = (read_examples(examples, split) for split in ("train", "dev"))
        if train.multi_label != bool(exec_properties["multi_label"]):
            raise RuntimeError(
                f"The examples have multi_label={train.multi_label}, the pipeline says "
                f"multi_label={bool(exec_properties['multi_label'])}."
            )
        num_outputs = exec_properties["num_outputs"]
        recipes = {
            "text": text_recipe(
                vocabulary_size(transform_graph),
                train.tokens.shape[1],
                num_outputs,
                settings_from_json(TextBackboneSettings, exec_properties["text"]),
                read_vocabulary(transform_graph),
            ),
            "image": image_recipe(
                train.image_shape,
                num_outputs,
                settings_from_json(ImageBackboneSettings, exec_properties["image"]),
                settings_from_json(FusionSettings, exec_properties["fusion"]).grid,
            ),
        }
        checkpoints = checkpoint_folder(
            "BackboneTrainer", exec_properties["checkpoint_root"], input_dict, exec_properties
        )
        with writable_folder(backbones.uri) as folder:
            record = pretrain_backbones(
                recipes,
                {"text": train.tokens, "image": train.images()},
                train.labels,
                train.ids,
                {"text": dev.tokens, "image": dev.images()},
                dev.labels,
                folder,
                settings_from_json(PretrainingSettings, exec_properties["pretraining"]),
                work_dir=checkpoints,
            )
        backbones.set_string_custom_property("modalities", ",".join(recipes))
        for modality, result in record["modalities"].items():
            backbones.set_float_custom_property(f"{modality}_dev_f1_m", float(result["dev_macro_f1"]))
        shutil.rmtree(checkpoints, ignore_errors=True)
