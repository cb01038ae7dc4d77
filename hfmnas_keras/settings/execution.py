"""Settings of how something is computed, which change no result: caches, checkpoints and names leave them out."""

from __future__ import annotations

import dataclasses
from typing import Any

_MARK = {"is_execution": True}


def execution_field(default: Any) -> Any:
    """A field of a settings dataclass that changes no result, or by rounding alone."""
    return dataclasses.field(default=default, metadata=_MARK)


def execution_of(settings: Any) -> dict[str, Any]:
    """The fields of a settings dataclass that `execution_field` made, by name."""
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings) if is_execution(field)}


def without_execution(settings: Any) -> dict[str, Any]:
    """All other fields, by name; settings among them as dictionaries too."""
    others = {
        field.name: getattr(settings, field.name) for field in dataclasses.fields(settings) if not is_execution(field)
    }
    return {
        name: without_execution(value) if dataclasses.is_dataclass(value) else value for name, value in others.items()
    }


def is_execution(field: dataclasses.Field) -> bool:
    """Whether `execution_field` made a field."""
    return _MARK.items() <= field.metadata.items()
