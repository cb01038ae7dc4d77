"""TFX's cache keys without the places where things lie, so that a run that was moved goes on from its cache."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfx import types
from tfx.orchestration.portable import cache_utils

_HERE = "<root>"


@contextlib.contextmanager
def keys_without_places(root: str) -> Iterator[None]:
    """Lets TFX compute its cache keys as if each run lay in the same place.

    TFX hashes absolute paths: of the artifacts that a stage reads, of settings below the run's folder, and of the data.
    The artifacts and settings are the same wherever the folder is; what the data are says their fingerprint.

    Args:
        root: str. Folder of the run.
    """
    original: Any = cache_utils.get_cache_context

    def get_cache_context(**keywords: Any) -> Any:
        inputs: Mapping[str, Sequence[types.Artifact]] = keywords.get("input_artifacts") or {}
        keywords["input_artifacts"] = {
            key: [_artifact_without_place(artifact, root) for artifact in artifacts]
            for key, artifacts in inputs.items()
        }
        parameters = _data_by_content(keywords.get("parameters") or {})
        keywords["parameters"] = {key: _without_root(str(value), root) for key, value in parameters.items()}
        return original(**keywords)

    # TFX has no place for a key of one's own. Its launcher, the only one to ask for keys, looks the function up here.
    replaceable: Any = cache_utils
    replaceable.get_cache_context = get_cache_context
    try:
        yield
    finally:
        replaceable.get_cache_context = original


def _artifact_without_place(artifact: types.Artifact, root: str) -> types.Artifact:
    placeless = copy.deepcopy(artifact)
    message = placeless.mlmd_artifact
    message.uri = _without_root(message.uri, root)
    for properties in (message.properties, message.custom_properties):
        for value in properties.values():
            if value.WhichOneof("value") == "string_value":
                value.string_value = _without_root(value.string_value, root)
    return placeless


def _without_root(value: str, root: str) -> str:
    return value.replace(f"{root}/", f"{_HERE}/")


def _data_by_content(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves the names of the data's files in the settings of a source, without their folders."""
    said = dict(parameters)
    # A source whose data are not on this machine has a fingerprint that never comes again.
    if {"source", "source_config", "source_fingerprint"} <= set(said):
        settings = json.loads(said["source_config"])
        for name, value in settings.items():
            if isinstance(value, str) and os.path.isabs(value):
                settings[name] = os.path.basename(value.rstrip("/"))
        said["source_config"] = json.dumps(settings, sort_keys=True)
    return said
