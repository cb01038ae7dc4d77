"""The configuration as a report tells it: what decided the run, and nothing of where and how it was computed."""

from __future__ import annotations

from typing import Any

from pipeline.config import RunConfig
from pipeline.config_file import config_content

# Of the machine, not of the run. The card has a place of its own.
_ELSEWHERE = ("kubeflow", "paths", "beam_args", "serving")
_EXECUTION = ("devices", "device_bytes", "checkpoint_seconds")
_OF_CLIPS = {"clip_frames": ("video", "depth"), "clip_size": ("video", "depth"), "skeleton_frames": ("skeleton",)}


def told_configuration(config: RunConfig) -> dict[str, Any]:
    """The settings that another value would have made another run of, section by section.

    Args:
        config: `RunConfig`.

    Returns:
        dict, JSON-able.
    """
    content = {name: part for name, part in config_content(config).items() if name not in _ELSEWHERE}
    for section in ("search", "training"):
        content[section] = {name: value for name, value in content[section].items() if name not in _EXECUTION}
    modalities = set(config.data.modalities)
    content["preparation"] = {
        name: value
        for name, value in content["preparation"].items()
        if name not in _OF_CLIPS or modalities & set(_OF_CLIPS[name])
    }
    if config.model != "bm_nas":
        content.pop("bm_nas", None)
    return content
