"""The sources by name, and how a configuration becomes one of them."""

from __future__ import annotations

import inspect
import json
from typing import Any

from components.multimodal_example_gen.sources.demo_source import DemoSource
from components.multimodal_example_gen.sources.egogesture_source import EgoGestureSource
from components.multimodal_example_gen.sources.harm_source import HarmSource
from components.multimodal_example_gen.sources.manifest_source import ManifestSource
from components.multimodal_example_gen.sources.mmimdb_hdf5_source import MmimdbHdf5Source
from components.multimodal_example_gen.sources.mmimdb_source import MmimdbSource
from components.multimodal_example_gen.sources.ntu_source import NtuSource
from components.multimodal_example_gen.sources.source import SOURCES, Source, check_keys, register_source

for _source in (
    DemoSource,
    ManifestSource,
    MmimdbSource,
    MmimdbHdf5Source,
    HarmSource,
    NtuSource,
    EgoGestureSource,
):
    register_source(_source)


def make_source(name: str, config: dict[str, Any] | str | None = None) -> Source:
    """Makes a source from its name and settings.

    Args:
        name: str. One of `SOURCES`.
        config: dict, its JSON text, or None. Arguments of the source's class.

    Returns:
        Source.

    Raises:
        ValueError: for an unknown source, unknown settings or wrong values.
    """
    source = SOURCES[name]
    if isinstance(config, str):
        config = json.loads(config)
    if config is not None and not isinstance(config, dict):
        raise ValueError(f"Settings of the source {name!r} must be a dictionary. Received: {config!r}.")
    parameters = inspect.signature(source).parameters
    check_keys(name, config or {}, parameters)
    missing = [key for key, value in parameters.items() if value.default is value.empty and key not in (config or {})]
    if missing:
        raise ValueError(f"The source {name!r} needs the settings {missing}. Received: {sorted(config or {})}.")
    return source(**(config or {}))


def source_fingerprint(name: str, config: dict[str, Any] | str | None = None, by: str | None = None) -> str:
    """Returns a digest that changes when the data behind a source change.

    Args:
        name: str. One of `SOURCES`.
        config: See `make_source`.
        by: str or None. `"content"` or `"metadata"`, see `Source.fingerprint`.

    Returns:
        str. For example `"content:6c0f..."`.

    Raises:
        FileNotFoundError: when the data are not on this machine.
        ValueError: See `make_source`.
    """
    return make_source(name, config).fingerprint(by)
