"""Packages of other people, which register operations, models, backbones and sources when they are imported."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterable

ENTRY_POINTS = "hfmnas.plugins"


def installed_plugins() -> tuple[str, ...]:
    """Names of the modules that installed packages offer as entry points of the group `hfmnas.plugins`, sorted."""
    return tuple(sorted({point.value for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}))


def import_plugins(modules: Iterable[str]) -> None:
    """Imports modules, so that what they register is known by name; a module is run once in a process.

    Args:
        modules: dotted names, such as `"my_package"`.

    Raises:
        ValueError: when there is no such module, or it cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(
                f"The plugin {module!r} cannot be imported: {error}. Install its package, or start where it is on "
                "Python's path."
            ) from error
