"""Reading a genotype's JSON text, which may come from anywhere."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

MAX_CHARACTERS = 1_000_000


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The JSON object that `text` holds.

    Raises:
        ValueError: when the text is too long, is not JSON, repeats a key, has a number that is not finite, or is not
            an object.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"A genotype takes a few kilobytes. Received: more than {MAX_CHARACTERS:,} characters.")
    try:
        content = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"A genotype is JSON text: {error}.") from error
    return checked_mapping("A genotype", content)


def checked_mapping(name: str, value: Any) -> dict[str, Any]:
    """Returns `value`, or raises a `ValueError` where it is not a JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"`{name}` must be a JSON object. Received: {type(value).__name__}.")
    return value


def check_keys(name: str, content: dict[str, Any], required: Collection[str], allowed: Collection[str]) -> None:
    """Raises a `ValueError` where keys of a JSON object are missing or not known."""
    missing = set(required) - content.keys()
    unknown = content.keys() - set(allowed)
    if missing or unknown:
        raise ValueError(
            f"{name} must have the keys {', '.join(sorted(required))}. "
            f"Missing: {', '.join(sorted(missing)) or 'none'}. Not known: {', '.join(sorted(unknown)) or 'none'}."
        )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"A key stands twice in the genotype: {repeated!r}.")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"Numbers in a genotype are finite. Received: {name}.")
