"""The configuration as a report tells it: what decided the run, and nothing of where and how it was computed."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from hfmnas_keras.settings.execution import is_execution
from pipeline.config import RunConfig
from pipeline.config_file import config_content

# Of the machine, not of the run. The card has a place of its own.
_ELSEWHERE = ("kubeflow", "paths", "beam_args", "serving")
_OF_CLIPS = {"clip_frames": ("video", "depth"), "clip_size": ("video", "depth"), "skeleton_frames": ("skeleton",)}


def told_configuration(config: RunConfig) -> dict[str, Any]:
    """The settings that another value would have made another run of, section by section.

    Args:
        config: `RunConfig`.

    Returns:
        dict, JSON-able. Files and folders have their names alone: where they lie is of the machine, too.
    """
    content = {name: part for name, part in config_content(config).items() if name not in _ELSEWHERE}
    for section in ("search", "training"):
        fields = dataclasses.fields(getattr(config, section))
        execution = {field.name for field in fields if is_execution(field)}
        content[section] = {name: value for name, value in content[section].items() if name not in execution}
    modalities = set(config.data.modalities)
    content["preparation"] = {
        name: value
        for name, value in content["preparation"].items()
        if name not in _OF_CLIPS or modalities & set(_OF_CLIPS[name])
    }
    if config.model != "bm_nas":
        content.pop("bm_nas", None)
    return _without_folders(content)


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_folders(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_folders(part) for part in value]
    return os.path.basename(value.rstrip("/")) if isinstance(value, str) and os.path.isabs(value) else value
