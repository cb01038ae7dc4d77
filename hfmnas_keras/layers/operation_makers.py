"""What edge and node operations share: how one is checked when it gets a name, and how it is made."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def check_operation(maker: Any, base: type) -> None:
    """Refuses what is no operation.

    Args:
        maker: class, or `functools.partial` of one.
        base: class that it must be a subclass of.

    Raises:
        ValueError: when it is not, or when it does not say what it costs.
    """
    operation = maker.func if isinstance(maker, functools.partial) else maker
    if not (isinstance(operation, type) and issubclass(operation, base)):
        raise ValueError(f"An operation must be a subclass of `{base.__name__}`. Received: {maker!r}.")
    if not hasattr(operation, "multiply_accumulates"):
        raise ValueError(
            f"`{operation.__name__}` must say what it costs, as its method `multiply_accumulates`; one that works "
            "element by element has `multiply_accumulates = no_products`, of `hfmnas_keras.cost.layer_rules`."
        )


def make_operation(maker: Callable[..., Any], options: Mapping[str, Any], **arguments: Any) -> Any:
    """Makes a layer of `arguments` and of those of the `options` that its `__init__` names."""
    known = inspect.signature(maker).parameters
    return maker(**arguments, **{name: value for name, value in options.items() if name in known})
