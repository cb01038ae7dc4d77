"""Carries the settings dataclasses through execution properties, which are strings."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypeVar

from hfmnas_keras.settings.execution import without_execution

Settings = TypeVar("Settings")


def settings_to_json(settings: Any) -> str:
    """Writes a settings dataclass as JSON with sorted keys, so that equal settings give equal cache keys.

    What changes no result is left out, see `components.execution`.

    Args:
        settings: instance of a dataclass of `hfmnas_keras.settings`.

    Returns:
        str.
    """
    return json.dumps(without_execution(settings), sort_keys=True)


def settings_from_json(settings_class: type[Settings], text: str) -> Settings:
    """Reads what `settings_to_json` wrote.

    Args:
        settings_class: the dataclass to make.
        text: str.

    Returns:
        An instance of `settings_class`.

    Raises:
        ValueError: when `text` has keys that `settings_class` has not.
    """
    values = json.loads(text)
    known = {field.name for field in dataclasses.fields(settings_class)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise ValueError(f"{settings_class.__name__} has no fields {unknown}. Known ones: {sorted(known)}.")
    # JSON knows no tuples, and the fields know no lists.
    return settings_class(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
