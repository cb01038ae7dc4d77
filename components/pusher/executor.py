"""Pushes a blessed model unless it is serving already, and so that a server never sees half of it."""

import os
import re
import time
import uuid
from typing import Any

import tensorflow as tf
from absl import logging
from tfx import types
from tfx.components.pusher import executor as tfx_pusher_executor
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils, proto_utils

from components.code_fingerprint import check_code
from components.pusher.model_digest import model_digest
from hfmnas_keras.addresses import is_address
from hfmnas_keras.data.stored_files import copy_folder

ALREADY_SERVING_PROPERTY = "already_serving"
DIGEST_PROPERTY = "model_digest"
_SAVED_MODEL_FILE = "saved_model.pb"
_UNFINISHED = ".unfinished-"
# Another process may be pushing to the same folder; one that has written nothing for so long is dead.
_IDLE_SECONDS = 600

#: What this stage runs.
CODE = (__name__,)


class Executor(tfx_pusher_executor.Executor):
    """Executor of `Pusher`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes the model if it is blessed and new.

        Args:
            input_dict:
              - `model`: the exported model.
              - `model_blessing`: from the Evaluator, optional.
              - `infra_blessing`: from `ServingCheck` or InfraValidator, optional.
            output_dict:
              - `pushed_model`: a copy of the model, with the custom properties of TFX's Pusher (`pushed`,
                `pushed_destination`, `pushed_version`) and `already_serving` (1: nothing was copied, the newest version
                at the destination is this very model) and `model_digest`. Empty, with `pushed` 0, without a blessing.
            exec_properties:
              - `push_destination`: a folder, or JSON of a `pusher_pb2.PushDestination` with one.
        """
        check_code(exec_properties, CODE)
        self._log_startup(input_dict, output_dict, exec_properties)
        model_push = artifact_utils.get_single_instance(output_dict[standard_component_specs.PUSHED_MODEL_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(model_push)
            return
        model_path = self.GetModelPath(input_dict)
        base_directory = serving_folder(exec_properties[standard_component_specs.PUSH_DESTINATION_KEY])

        digest = model_digest(model_path)
        serving_path, already_serving = ensure_serving(model_path, base_directory)
        if already_serving:
            logging.info("This model is serving already, as %s: not pushed again.", serving_path)
        else:
            logging.info("Model pushed to %s.", serving_path)

        io_utils.copy_dir(model_path, model_push.uri)
        self._MarkPushed(model_push, pushed_destination=serving_path, pushed_version=os.path.basename(serving_path))
        model_push.set_int_custom_property(ALREADY_SERVING_PROPERTY, int(already_serving))
        model_push.set_string_custom_property(DIGEST_PROPERTY, digest)


def ensure_serving(model_path: str, base_directory: str) -> tuple[str, bool]:
    """Pushes a model unless the newest version is this very model, whole.

    Args:
        model_path: str. Folder of the SavedModel.
        base_directory: str. Folder of the versions. What a killed push left there is removed.

    Returns:
        Folder of the version that serves, and whether it was there before.
    """
    _remove_unfinished(base_directory)
    serving_path = os.path.join(base_directory, str(newest_version(base_directory)))
    is_there = fileio.exists(os.path.join(serving_path, _SAVED_MODEL_FILE))
    if is_there and model_digest(serving_path) == model_digest(model_path):
        return serving_path, True
    return push_model(model_path, base_directory), False


def newest_version(base_directory: str) -> int | None:
    """Returns the version a server would serve from the folder, or `None` if it has none."""
    if not fileio.isdir(base_directory):
        return None
    # On a remote file system folders may be listed with a slash at the end.
    names = [str(name).rstrip("/") for name in fileio.listdir(base_directory)]
    versions = [int(name) for name in names if re.fullmatch("[0-9]+", name)]
    return max(versions, default=None)


def push_model(model_path: str, base_directory: str) -> str:
    """Copies a model to a new version, greater than every other one there.

    The version's folder appears whole: it is copied under a name that servers ignore, and renamed. In object stores,
    where renaming a folder is many acts or none, it is copied to its place at once. `saved_model.pb` comes last: it is
    the file that servers wait for.

    Args:
        model_path: str. Folder of the SavedModel.
        base_directory: str. Folder of the versions.

    Returns:
        str. Folder of the new version.
    """
    fileio.makedirs(base_directory)
    unfinished = os.path.join(base_directory, f"{_UNFINISHED}{uuid.uuid4().hex}")
    if is_address(base_directory):
        serving_path = _new_version(base_directory)
        copy_folder(model_path, serving_path, last=_SAVED_MODEL_FILE)
        return serving_path
    try:
        copy_folder(model_path, unfinished, last=_SAVED_MODEL_FILE)
        serving_path = _new_version(base_directory)
        fileio.rename(unfinished, serving_path)
    finally:
        if fileio.exists(unfinished):
            fileio.rmtree(unfinished)
    return serving_path


def _new_version(base_directory: str) -> str:
    # The clock may stand behind the last push.
    version = max(int(time.time()), (newest_version(base_directory) or 0) + 1)
    return os.path.join(base_directory, str(version))


def serving_folder(push_destination: str) -> str:
    """Returns the folder of the pushed models.

    Args:
        push_destination: str. The folder itself, or JSON of a `pusher_pb2.PushDestination`.

    Raises:
        ValueError: when it is none.
    """
    if push_destination and not push_destination.lstrip().startswith("{"):
        return push_destination
    destination = pusher_pb2.PushDestination()
    proto_utils.json_to_proto(push_destination or "{}", destination)
    if destination.WhichOneof("destination") != "filesystem" or not destination.filesystem.base_directory:
        raise ValueError(
            "`push_destination` must be a file system's folder: "
            f"PushDestination(filesystem=Filesystem(base_directory=...)). Received: {destination}."
        )
    return destination.filesystem.base_directory


def _remove_unfinished(base_directory: str) -> None:
    if not fileio.isdir(base_directory):
        return
    for name in map(str, fileio.listdir(base_directory)):
        folder = os.path.join(base_directory, name.rstrip("/"))
        if name.startswith(_UNFINISHED) and time.time() - _last_written(folder) > _IDLE_SECONDS:
            logging.info("Removed %s, which a killed push left.", folder)
            fileio.rmtree(folder)


def _last_written(folder: str) -> float:
    """Seconds since the epoch."""
    files = [os.path.join(str(directory), str(name)) for directory, _, names in fileio.walk(folder) for name in names]
    return max((tf.io.gfile.stat(path).mtime_nsec / 1e9 for path in [folder, *files]), default=0.0)
