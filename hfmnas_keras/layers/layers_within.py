"""All layers of a model, those within its layers too."""

from __future__ import annotations

from typing import Any

import keras


def layers_within(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns a model and each layer that it or one of its layers holds as an attribute, in lists and dicts too, once.

    Keras shows those of the first level alone.
    """
    found: dict[int, keras.layers.Layer] = {}
    pending: list[Any] = [model]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            pending += part.values()
        elif isinstance(part, (list, tuple)):
            pending += part
        elif isinstance(part, keras.layers.Layer) and id(part) not in found:
            found[id(part)] = part
            pending += vars(part).values()
    return list(found.values())
