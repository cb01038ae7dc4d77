"""Packages of other people, which register operations, models, backbones and sources when they are imported."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterable

ENTRY_POINTS = "hfmnas.plugins"
_in_use: list[str] = []


def installed_plugins() -> tuple[str, ...]:
    """Names of the modules that installed packages offer as entry points of the group `hfmnas.plugins`, sorted."""
    return tuple(sorted({point.value for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}))


def use_plugins(modules: Iterable[str]) -> None:
    """Imports modules, so that what they register is known by name, and makes them the ones in use in this process.

    A module is run once in a process; what it registered stays known.

    Args:
        modules: dotted names, such as `"my_package"`.

    Raises:
        ValueError: when there is no such module, or it cannot be imported.
    """
    modules = tuple(dict.fromkeys(modules))
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(
                f"The plugin {module!r} cannot be imported: {error}. Install its package, or start where it is on "
                "Python's path."
            ) from error
    _in_use[:] = modules


def plugins_in_use() -> tuple[str, ...]:
    """Names of the modules that `use_plugins` was last called with: those of the run at hand."""
    return tuple(_in_use)
