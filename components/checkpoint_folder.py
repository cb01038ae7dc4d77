"""Finds the folder from which a killed stage continues."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tfx.types.artifact import Artifact


def checkpoint_folder(
    component: str,
    checkpoint_root: str,
    input_dict: Mapping[str, Sequence[Artifact]],
    exec_properties: Mapping[str, Any],
) -> str:
    """Returns the folder for the checkpoints of one piece of work.

    It lies outside the output artifacts, which TFX gives a new folder on each attempt, and its name follows from the
    settings, the inputs and the code alone. So the next attempt at the same work finds it, and other work never does.

    Args:
        component: str. Name of the component.
        checkpoint_root: str. Folder of all checkpoints.
        input_dict: the executor's inputs.
        exec_properties: the executor's properties, the code's fingerprint among them.

    Returns:
        str. The folder is not made.
    """
    work = {
        "inputs": {key: [artifact.uri for artifact in artifacts] for key, artifacts in input_dict.items()},
        "properties": {key: str(value) for key, value in exec_properties.items() if key != "checkpoint_root"},
    }
    digest = hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()[:16]
    return os.path.join(checkpoint_root, component, digest)
