"""JSON as strangers may write it: a value, a key or a whole part of a good one in place of another, or none."""

from __future__ import annotations

import copy
from typing import Any

_VALUES = [None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 1.5, -0.0, 1e308, "", "x", "lfbc", "\0", "é" * 50]
_PARTS: list[Any] = [[], {}, [[]], [None], [1, 2], [1e9] * 3, {"a": 1}, {"": {}}, ["x"] * 100, [[1, [2, [3]]]]]


def changed(draw, content):
    """Returns a copy with one to three places changed; `draw` is a `random.Random`."""
    content = copy.deepcopy(content)
    for _ in range(draw.randint(1, 3)):
        places = [place for place in _places(content) if place]
        if not places:
            return draw.choice([*_VALUES, *_PARTS])
        *way, key = draw.choice(places)
        owner = content
        for step in way:
            owner = owner[step]
        kind = draw.choice(["value", "value", "part", "remove", "copy", "rename"])
        if kind == "value":
            owner[key] = draw.choice(_VALUES)
        elif kind == "part":
            owner[key] = copy.deepcopy(draw.choice(_PARTS))
        elif kind == "remove":
            del owner[key]
        elif kind == "copy":
            other = content
            for step in draw.choice(places):
                other = other[step]
            owner[key] = copy.deepcopy(other)
        elif isinstance(owner, dict):
            owner[str(draw.choice(_VALUES))] = owner.pop(key)
    return content


def _places(content, way=()):
    """Ways to all values in it."""
    yield way
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from _places(value, (*way, key))
