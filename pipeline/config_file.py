"""Reads a run's configuration from its YAML file, and says what is wrong with it."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any, get_args

import pydantic
import yaml

from hfmnas_keras.addresses import absolute_path
from hfmnas_keras.backbones.published_encoders import PUBLISHED_ENCODERS
from hfmnas_keras.settings.backbones import PATH_SETTINGS, backbone_settings_class
from pipeline.config import RunConfig
from pipeline.config_parts import BackbonesConfig, expanded
from pipeline.data_config import FolderData, source_data

CONFIG_VARIABLE = "HFMNAS_CONFIG"
PRESETS_FOLDER = pathlib.Path(__file__).resolve().parent / "configs"


def load_config(path: str | os.PathLike[str] | None = None) -> RunConfig:
    """Reads a run's configuration.

    Paths of data and of weights in the file are relative to the file itself.

    Args:
        path: path of a YAML file, or the name of a preset such as `"demo"`. `None` (default) takes the environment
            variable `HFMNAS_CONFIG`, and the demo where it is not set.

    Returns:
        `RunConfig`, with paths made absolute.

    Raises:
        ValueError: when there is no such file, or it does not describe a run; the message names file, key and cure.
    """
    file = config_file(path if path is not None else os.environ.get(CONFIG_VARIABLE) or "demo")
    try:
        loader = _EachKeyOnce(file.read_text(encoding="utf-8"))
        content = loader.get_single_data()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not YAML that can be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must hold a mapping of keys. Received: {type(content).__name__}.")
    try:
        config = RunConfig.model_validate(content)
    except pydantic.ValidationError as error:
        raise ValueError(_explanation(file, error, content)) from error
    return _with_absolute_paths(config, file.resolve().parent)


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML's readers silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is given twice, in lines {seen[key.value]} and {line}"
                    )
                seen[key.value] = line
        return super().construct_mapping(node, deep)


def config_file(source: str | os.PathLike[str]) -> pathlib.Path:
    """Returns the file of a configuration that is given by its path or, where no such file is, by a preset's name.

    Raises:
        ValueError: when there is neither.
    """
    file = pathlib.Path(source)
    if not file.is_file() and re.fullmatch(r"[a-z0-9_]+", str(source)):
        file = PRESETS_FOLDER / f"{source}.yaml"
    if not file.is_file():
        presets = ", ".join(sorted(preset.stem for preset in PRESETS_FOLDER.glob("*.yaml")))
        raise ValueError(
            f"There is no configuration file {str(source)!r}. Give the path of a YAML file or a preset: {presets}."
        )
    return file


def with_overrides(config: RunConfig, overrides: Mapping[str, Any]) -> RunConfig:
    """Copies a configuration with some values replaced.

    Args:
        config: `RunConfig`.
        overrides: dict from dotted keys, such as `"mitigation.attention"`, to values.

    Returns:
        `RunConfig`.

    Raises:
        ValueError: when the result does not describe a run, as for a configuration file.
    """
    content = config_content(config)
    for key, value in overrides.items():
        *sections, last = key.split(".")
        owner = content
        for section in sections:
            # An optional section that is left out is None.
            owner[section] = owner.get(section) or {}
            owner = owner[section]
        owner[last] = value
    try:
        return RunConfig.model_validate(content)
    except pydantic.ValidationError as error:
        raise ValueError(_explanation(f"{config.name!r} with {dict(overrides)}", error, content)) from error


def _explanation(source: pathlib.Path | str, error: pydantic.ValidationError, content: Mapping[str, Any]) -> str:
    lines = [f"{source} does not describe a run:"]
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "(the whole file)"
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            lines.append(f"  `{key}`: unknown key. Known here: {', '.join(_known_keys(problem['loc'][:-1], content))}.")
        elif problem["type"] == "missing":
            lines.append(f"  `{key}`: is missing. Add it.")
        else:
            message = problem["msg"].removeprefix("Value error, ").rstrip(".")
            received = "" if "Received:" in message else f" Received: {problem['input']!r}."
            lines.append(f"  `{key}`: {message}.{received}")
    return "\n".join(lines)


def _known_keys(location: tuple[int | str, ...], content: Mapping[str, Any]) -> list[str]:
    known: Any = RunConfig
    for part in location:
        if known is RunConfig and part == "data":
            known = source_data(content["data"]["source"])
        elif known is BackbonesConfig:
            known = backbone_settings_class(str(part), content["backbones"][part].get("kind"))
        else:
            known = known.model_fields[part].annotation
            # An optional section has two types: its own, and that of None.
            known = next((kind for kind in get_args(known) if kind is not type(None)), known)
    return sorted(getattr(known, "model_fields", None) or known.__dataclass_fields__)


def _with_absolute_paths(config: RunConfig, folder: pathlib.Path) -> RunConfig:
    """Copies `config` with the paths that the user's own files have, relative to the configuration, made absolute."""
    content = config_content(config)
    if isinstance(config.data, FolderData) and config.data.data_root is None:
        content["data"]["data_root"] = config.data.default_root()
    for owner, key in (
        (content, "genotype"),
        *((content["data"], path) for path in config.data.paths),
        *((settings, path) for settings in content["backbones"].values() for path in PATH_SETTINGS),
    ):
        if owner.get(key) is not None:
            owner[key] = absolute_path(expanded(owner[key]), folder)
    for settings in content["backbones"].values():
        for key in ("encoder", "tokenizer") if settings.get("kind") in ("encoder", "keras") else ():
            if settings.get(key) is not None and settings[key] not in PUBLISHED_ENCODERS:
                settings[key] = absolute_path(expanded(settings[key]), folder)
        if settings.get("kind") == "keras" and settings["model"].endswith(".keras"):
            settings["model"] = absolute_path(expanded(settings["model"]), folder)
    return RunConfig.model_validate(content)


def config_content(config: RunConfig) -> dict[str, Any]:
    """A configuration as its file would say it."""
    content = config.model_dump()
    content["backbones"] = {modality: content["backbones"][modality] for modality in config.data.modalities}
    return content
