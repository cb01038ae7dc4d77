"""Starts a process that has only TensorFlow, lets it call the model, and blesses or not."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.artifact_types.files import SERVING_CHECK_FILE
from components.code_fingerprint import check_code
from components.local_folders import readable_folder

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "client.py")
# Names and property as TFX's InfraValidator has them, so that Pusher reads this blessing as it reads that one's.
BLESSED_FILE = "INFRA_BLESSED"
NOT_BLESSED_FILE = "INFRA_NOT_BLESSED"
BLESSED_PROPERTY = "blessed"
TIMEOUT_SECONDS = 600

#: What this stage runs.
CODE = ("components.serving_check",)


class Executor(base_executor.BaseExecutor):
    """Executor of `ServingCheck`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Checks the model and writes the blessing.

        Args:
            input_dict:
              - `model`: the exported model.
              - `examples`: raw examples.
            output_dict:
              - `blessing`: an `InfraBlessing`: the file `INFRA_BLESSED` or `INFRA_NOT_BLESSED`, the custom property
                `blessed`, and `serving_check.json` with what was called, what came back and what was wrong.
            exec_properties:
              - `class_names`: JSON list of the class names, in the order of the model's outputs.
              - `multi_label`: 0 or 1.
              - `modalities`: JSON list of the modalities that the model reads.
              - `split`: split the examples are taken from.
              - `num_examples`: how many.
        """
        check_code(exec_properties, CODE)
        self._log_startup(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(input_dict["model"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        model_path = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
        split_uris = artifact_utils.get_split_uris(input_dict["examples"], exec_properties["split"])
        records = _read_records(split_uris, exec_properties["num_examples"])

        # The fresh process may know less of object stores than this one.
        with readable_folder(model_path) as folder:
            result = check_serving(
                folder,
                records,
                json.loads(exec_properties["class_names"]),
                bool(exec_properties["multi_label"]),
                json.loads(exec_properties["modalities"]),
            )
        result["model"] = model_path

        blessed = not result["reasons"]
        fileio.makedirs(blessing.uri)
        io_utils.write_string_file(os.path.join(blessing.uri, SERVING_CHECK_FILE), json.dumps(result, indent=2))
        io_utils.write_string_file(os.path.join(blessing.uri, BLESSED_FILE if blessed else NOT_BLESSED_FILE), "")
        blessing.set_int_custom_property(BLESSED_PROPERTY, int(blessed))
        if blessed:
            logging.info("The model answered %d calls as it should.", len(result["calls"]))
        else:
            logging.error("The model cannot serve:\n%s", "\n".join(result["reasons"]))


def check_serving(
    model_path: str,
    records: list[bytes],
    class_names: list[str],
    multi_label: bool,
    modalities: Sequence[str] = ("text", "image"),
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> dict[str, Any]:
    """Calls all signatures of a SavedModel in a fresh process with plain TensorFlow and nothing of ours.

    The process has no accelerator: a model that needs one to answer would not serve everywhere, and the memory of the
    one here belongs to the process that trained.

    Args:
        model_path: str. Folder of the SavedModel.
        records: list of bytes. Serialized raw `tf.Example`s, at least one.
        class_names: list of str, in the order of the model's outputs.
        multi_label: bool.
        modalities: sequence of str. Raw features that a request sends. Defaults to `("text", "image")`.
        timeout_seconds: float. After which the process is ended and the model is not blessed.

    Returns:
        Dict of `blessed` (bool), `reasons` (list of str, empty when all is well), `calls`, `versions`, `model`,
        `examples` (int) and `seconds`.

    Raises:
        ValueError: no records.
    """
    if not records:
        raise ValueError("`records` must hold at least one example to call the model with. Received: none.")
    request = {
        "model": os.path.abspath(model_path),
        "class_names": list(class_names),
        "multi_label": multi_label,
        "modalities": list(modalities),
        "examples": [base64.b64encode(record).decode("ascii") for record in records],
    }
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="serving_check_") as folder:
        request_path, result_path = os.path.join(folder, "request.json"), os.path.join(folder, "result.json")
        with open(request_path, "w", encoding="utf-8") as file:
            json.dump(request, file)
        result = _run_client(folder, request_path, result_path, timeout_seconds)
    return {
        "blessed": not result["reasons"],
        **result,
        "model": model_path,
        "examples": len(records),
        "seconds": round(time.monotonic() - start, 1),
    }


def _run_client(folder: str, request_path: str, result_path: str, timeout_seconds: float) -> dict[str, Any]:
    # -I: neither the working folder, nor PYTHONPATH, nor the script's own folder (this package) is on the path.
    command = [sys.executable, "-I", CLIENT, request_path, result_path]
    try:
        process = subprocess.run(
            command,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _failed(f"The model did not answer within {timeout_seconds} s.")
    if process.returncode != 0 or not os.path.exists(result_path):
        last_lines = "\n".join(process.stderr.strip().splitlines()[-15:])
        return _failed(f"The process that called the model ended with code {process.returncode}:\n{last_lines}")
    with open(result_path, encoding="utf-8") as file:
        return json.load(file)


def _failed(reason: str) -> dict[str, Any]:
    return {"reasons": [reason], "calls": [], "versions": {}}


def _environment() -> dict[str, str]:
    # TensorFlow Transform leaves TF_USE_LEGACY_KERAS=1 behind in this process; a server does not have it.
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    return {**environment, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}


def _read_records(split_uris: list[str], count: int) -> list[bytes]:
    files = sorted(file for uri in split_uris for file in tf.io.gfile.glob(os.path.join(uri, "*")))
    records = list(tf.data.TFRecordDataset(files, compression_type="GZIP").take(count).as_numpy_iterator())
    if not records:
        raise RuntimeError(f"No examples to call the model with under {split_uris}.")
    return records
