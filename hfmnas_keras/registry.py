"""What a configuration or a genotype calls by a short name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

Thing = TypeVar("Thing")
_Registered = TypeVar("_Registered")


class Registry(Generic[Thing]):
    """Things by name: those of this project, and those that other packages register when they are imported.

    The project's own names are there from the start, each with a description, so that a file that holds one can be
    checked and shown without Keras; the things behind them come with the package that makes them.

    Args:
        kind: str. What the things are, for messages: `"edge operation"`.
        descriptions: dict from the project's own names to a line for people.

    Example:
    >>> NODE_OPERATION_LAYERS = Registry("node operation", {"sum": "x1 + x2"})
    >>> @NODE_OPERATION_LAYERS.register("maximum", "the larger of x1 and x2")
    ... class Maximum(NodeOperation): ...
    """

    def __init__(self, kind: str, descriptions: Mapping[str, str] | None = None):
        self.kind = kind
        self._descriptions = dict(descriptions or {})
        self._things: dict[str, Thing] = {}

    def register(self, name: str, description: str = "") -> Callable[[_Registered], _Registered]:
        """Decorator that gives a thing its name.

        Args:
            name: str. A Python identifier, as it stands in configurations and files.
            description: str. A line for people. The project's own names have theirs.

        Raises:
            ValueError: when the name is taken, or is none.
        """
        if not name.isidentifier():
            raise ValueError(f"The name of a {self.kind} must be a Python identifier. Received: {name!r}.")

        def add(thing: Any) -> Any:
            if name in self._things:
                raise ValueError(
                    f"There is a {self.kind} {name!r} already, {self._things[name]!r}. Register {thing!r} under "
                    "another name."
                )
            self._things[name] = thing
            self._descriptions.setdefault(name, description)
            return thing

        return add

    @property
    def descriptions(self) -> dict[str, str]:
        """A line for people on each, by name."""
        return dict(self._descriptions)

    def check(self, name: object) -> None:
        """Raises a ValueError that lists the known names unless this is one of them."""
        if name not in self:
            raise ValueError(
                f"There is no {self.kind} {name!r}. Known ones: {', '.join(self)}. One of a package of your own is "
                "known once the package is imported: name it in `plugins`."
            )

    def __getitem__(self, name: str) -> Thing:
        self.check(name)
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._descriptions

    def __iter__(self) -> Iterator[str]:
        return iter(self._descriptions)

    def __len__(self) -> int:
        return len(self._descriptions)
