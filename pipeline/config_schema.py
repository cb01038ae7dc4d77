"""The JSON schema of a run's configuration: for editors, and for the page docs/configuration-reference.md."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from typing import Any

import pydantic

from hfmnas_keras.settings.backbones import BACKBONE_SETTINGS, BACKBONES
from hfmnas_keras.settings.execution import is_execution
from pipeline.config import RunConfig
from pipeline.data_config import SOURCE_DATA

#: Kinds of backbones and sources of other packages are not in the schema, which lets them pass.
OWN_KINDS = tuple(name for name in BACKBONES if BACKBONES[name].settings.__module__.startswith("hfmnas_keras."))


def config_schema() -> dict[str, Any]:
    """Returns the JSON schema of a configuration, each key with its type, default and description.

    Descriptions are those of the classes' docstrings; `x-execution` marks what changes no result. Sources and kinds of
    backbones that a package of your own registers pass unchecked; `load_config` checks them.
    """
    schema = RunConfig.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Configuration of HF-MNAS"}
    definitions = schema["$defs"]
    del definitions["SourceData"]
    _describe(schema, RunConfig)
    for part in _parts(RunConfig):
        if part.__name__ in definitions:
            _describe(definitions[part.__name__], part)
    sources = {name: _add(definitions, data) for name, data in SOURCE_DATA.items()}
    data = schema["properties"]["data"]
    data["default"] = {"source": "demo"}
    del data["$ref"]
    data |= _one_of(sources, "source") | {"required": ["source"]}
    modalities = definitions["BackbonesConfig"]["properties"]
    for modality, settings in BACKBONE_SETTINGS.items():
        kinds = {kind: BACKBONES[kind] for kind in OWN_KINDS}
        options = {kind: _add(definitions, one.settings) for kind, one in kinds.items() if modality in one.modalities}
        own = _add(definitions, settings)
        del modalities[modality]["default"]
        modalities[modality] |= _one_of(options, "kind", otherwise=own)
    return schema


def field_descriptions(settings: type) -> dict[str, str]:
    """What the docstrings of a class, and of those that it inherits from, say of its fields, by their names.

    A field is described in the section `Args:` of its class, or by a string below it.
    """
    described: dict[str, str] = {}
    for cls in reversed(settings.__mro__):
        if not (dataclasses.is_dataclass(cls) or issubclass(cls, pydantic.BaseModel)) or cls is pydantic.BaseModel:
            continue
        described |= _of_section(inspect.cleandoc(cls.__doc__ or "")) | _of_strings(cls)
    return {name: text for name, text in described.items() if name in _fields(settings)}


def summary(settings: type) -> str:
    """What the docstring of a class says before its first section."""
    text = re.split(r"\n(?:Args|Raises|Example|Reference):", inspect.cleandoc(settings.__doc__ or ""))[0]
    return _one_line(text)


def _describe(schema: dict[str, Any], settings: type) -> None:
    schema["description"] = summary(settings)
    described = field_descriptions(settings)
    fields = dataclasses.fields(settings) if dataclasses.is_dataclass(settings) else ()
    execution = [field.name for field in fields if is_execution(field)]
    for name, field in schema["properties"].items():
        if name in described:
            field["description"] = described[name]
        field.pop("title", None)
        if name in execution:
            field["x-execution"] = True


def _add(definitions: dict[str, Any], settings: type) -> dict[str, str]:
    """Puts the schema of a class, and of those within it, among the definitions and returns the reference to it."""
    strict: Any = settings
    if dataclasses.is_dataclass(settings):
        strict = pydantic.with_config(pydantic.ConfigDict(extra="forbid"))(settings)
    schema = pydantic.TypeAdapter(strict).json_schema()
    definitions.update({name: inner for name, inner in schema.pop("$defs", {}).items() if name not in definitions})
    _describe(schema, settings)
    definitions[settings.__name__] = schema
    return {"$ref": f"#/$defs/{settings.__name__}"}


def _one_of(options: dict[str, dict[str, str]], key: str, otherwise: dict[str, str] | None = None) -> dict[str, Any]:
    """A schema that follows the value of a key; where it is none of the options', anything goes."""
    known: list[dict[str, Any]] = [
        {"if": {"properties": {key: {"const": name}}, "required": [key]}, "then": reference}
        for name, reference in options.items()
    ]
    if otherwise is not None:
        known.append({"if": {"not": {"required": [key]}}, "then": otherwise})
    return {"type": "object", "allOf": known}


def _parts(model: type) -> list[type]:
    """The classes of the settings within a class, and within those."""
    found: list[type] = []
    for annotation in _fields(model).values():
        for cls in _classes(annotation):
            found += [cls, *_parts(cls)]
    return found


def _fields(settings: Any) -> dict[str, Any]:
    if issubclass(settings, pydantic.BaseModel):
        return {name: field.annotation for name, field in settings.model_fields.items()}
    hints = inspect.get_annotations(settings, eval_str=True)
    return {field.name: hints.get(field.name) for field in dataclasses.fields(settings)}


def _classes(annotation: Any) -> list[type]:
    if inspect.isclass(annotation) and (dataclasses.is_dataclass(annotation) or _is_model(annotation)):
        return [annotation]
    return [cls for inner in getattr(annotation, "__args__", ()) for cls in _classes(inner)]


def _is_model(cls: type) -> bool:
    return isinstance(cls, type) and issubclass(cls, pydantic.BaseModel)


def _of_section(docstring: str) -> dict[str, str]:
    """Descriptions of a docstring's section `Args:`, by field; `a, b: text` describes two."""
    section = re.search(r"^Args:\n((?:(?:    .*)?\n?)+)", docstring, re.MULTILINE)
    if section is None:
        return {}
    described: dict[str, str] = {}
    # An entry begins at the section's own indentation, its further lines are indented more.
    for entry in re.split(r"\n(?=\S)", textwrap.dedent(section[1]).strip()):
        names, _, text = entry.partition(":")
        described |= dict.fromkeys((name.strip() for name in names.split(",")), _one_line(text))
    return described


def _of_strings(cls: type) -> dict[str, str]:
    """The strings below a class's fields."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    described = {}
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for field, below in zip(statements, statements[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            value = below.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                described[field.target.id] = _one_line(value.value)
    return described


def _one_line(text: str) -> str:
    return " ".join(text.split())
