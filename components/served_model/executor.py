"""The work of `ServedModel`."""

from __future__ import annotations

import os
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

from components.code_fingerprint import check_code
from components.pusher.executor import newest_version, serving_folder

VERSION_PROPERTY = "version"

#: What this stage runs.
CODE = (__name__,)


class Executor(base_executor.BaseExecutor):
    """Executor of `ServedModel`."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Copies the newest version, if there is one.

        Args:
            input_dict: nothing.
            output_dict: `model`: one Model artifact.
            exec_properties: `push_destination`, as of `components.pusher.executor.serving_folder`.
        """
        check_code(exec_properties, CODE)
        self._log_startup(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(output_dict["model"])
        folder = serving_folder(exec_properties["push_destination"])
        version = newest_version(folder)
        model.set_string_custom_property(VERSION_PROPERTY, "" if version is None else str(version))
        if version is None:
            logging.info("Nothing serves at %s yet: there is no model to compare with.", folder)
            return
        # A copy: what serves may be pruned while it is compared with.
        io_utils.copy_dir(os.path.join(folder, str(version)), path_utils.serving_model_dir(model.uri))
