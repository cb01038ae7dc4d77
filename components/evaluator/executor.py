"""The work of Evaluator: TFX's, then the linear references on the same rows."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
from absl import logging
from tensorflow_model_analysis.proto import config_pb2
from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_evaluator_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, json_utils, path_utils, proto_utils

from components.code_fingerprint import check_code
from components.evaluator.comparable_baseline import why_not_comparable, write_left_out
from components.evaluator.evaluation import read_evaluation
from components.evaluator.reference_gate import write_references
from components.evaluator.row_samples import write_samples
from components.linear_references.raw_rows import read_raw_rows
from components.linear_references.references import LinearReferences

#: What this stage runs.
CODE = ("components.evaluator",)

_SAVED_MODEL_FILE = "saved_model.pb"


class Executor(tfx_evaluator_executor.Executor):
    """Executor of `Evaluator`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates the model and blesses it or not.

        Args:
            input_dict:
              - `examples`: raw examples.
              - `model`: the exported model.
              - `baseline_model`: the last blessed one, optional; without files it counts as none. One that cannot be
                compared, of other classes, is left out, which `read_evaluation` tells.
              - `references`: linear models.
            output_dict:
              - `evaluation`: what TFMA writes, `references.json`, and `samples.json`, see `write_samples`.
              - `blessing`: as TFX's Evaluator writes it; not blessed, too, where the references say so.
            exec_properties:
              - `eval_config`: JSON of `EvalConfig`.
              - `example_splits`: JSON list of splits.
              - `above_reference`: 0 or 1.
              - `code_fingerprint`.
        """
        check_code(exec_properties, CODE)
        input_dict = _without_empty_baseline(input_dict)
        evaluation = artifact_utils.get_single_instance(output_dict["evaluation"])
        left_out = _why_no_baseline(input_dict, exec_properties)
        if left_out is not None:
            logging.warning("Not compared with the last blessed model: %s.", left_out)
            input_dict = {key: artifacts for key, artifacts in input_dict.items() if key != "baseline_model"}
        super().Do(input_dict, output_dict, exec_properties)
        if left_out is not None:
            write_left_out(evaluation.uri, left_out)
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        references = LinearReferences.load(artifact_utils.get_single_uri(input_dict["references"]))
        splits = json_utils.loads(exec_properties["example_splits"])
        folders = [uri for split in splits for uri in artifact_utils.get_split_uris(input_dict["examples"], split)]
        rows = read_raw_rows(folders, references.modalities, references.class_names, references.multi_label)
        write_references(evaluation.uri, references, rows, bool(exec_properties["above_reference"]))

        model = artifact_utils.get_single_instance(input_dict["model"])
        write_samples(
            evaluation.uri,
            path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model)),
            folders,
            references.class_names,
            references.multi_label,
        )

        gate = read_evaluation(evaluation.uri)["gate"]
        for reason in gate["reasons"]:
            logging.info(reason)
        blessed_file = os.path.join(blessing.uri, constants.BLESSED_FILE_NAME)
        if not gate["blessed"] and fileio.exists(blessed_file):
            fileio.remove(blessed_file)
            io_utils.write_string_file(os.path.join(blessing.uri, constants.NOT_BLESSED_FILE_NAME), "")
            blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, constants.NOT_BLESSED_VALUE)


def _without_empty_baseline(input_dict: dict[str, list[types.Artifact]]) -> dict[str, list[types.Artifact]]:
    """Drops a baseline without files, as `ServedModel` makes it where nothing serves yet."""
    kept = dict(input_dict)
    for model in kept.get(standard_component_specs.BASELINE_MODEL_KEY) or ():
        if not fileio.exists(os.path.join(path_utils.serving_model_dir(model.uri), _SAVED_MODEL_FILE)):
            kept.pop(standard_component_specs.BASELINE_MODEL_KEY)
            break
    return kept


def _why_no_baseline(input_dict: dict[str, list[types.Artifact]], exec_properties: dict[str, Any]) -> str | None:
    if not input_dict.get("baseline_model"):
        return None
    baseline = artifact_utils.get_single_instance(input_dict["baseline_model"])
    eval_config = config_pb2.EvalConfig()
    proto_utils.json_to_proto(exec_properties["eval_config"], eval_config)
    path = path_utils.serving_model_path(baseline.uri, path_utils.is_old_model_artifact(baseline))
    (split, *_) = json_utils.loads(exec_properties["example_splits"])
    files = [
        os.path.join(uri, str(name))
        for uri in artifact_utils.get_split_uris(input_dict["examples"], split)
        for name in fileio.listdir(uri)
    ]
    example = next(iter(tf.data.TFRecordDataset(sorted(files), "GZIP").take(1).as_numpy_iterator()))
    return why_not_comparable(path, eval_config, example)
