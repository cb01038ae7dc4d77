"""How stages compute: on which devices, with how much of their memory, and how often they save.

It changes no result, so it must not change a cache key; but all that a component gets is part of its key in TFX's
cache, and in Kubeflow's. So a runner says it in an environment variable.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any, TypeVar

from hfmnas_keras.settings.execution import execution_of

EXECUTION_VARIABLE = "HFMNAS_EXECUTION"
Settings = TypeVar("Settings")


def execution_json(**settings: Any) -> str:
    """Returns what a runner puts into `EXECUTION_VARIABLE`.

    Args:
        **settings: settings dataclasses by the part of the configuration that they are, such as `search`.
    """
    return json.dumps({part: execution_of(each) for part, each in settings.items()}, sort_keys=True)


def with_execution(part: str, settings: Settings) -> Settings:
    """Returns the settings of a stage with what the runner said of how to compute; as they are where it said nothing.

    Args:
        part: str. As of `execution_json`.
        settings: settings dataclass.

    Raises:
        ValueError: when the variable does not hold what `execution_json` writes.
    """
    text = os.environ.get(EXECUTION_VARIABLE) or "{}"
    try:
        said = json.loads(text).get(part, {})
        return dataclasses.replace(settings, **said)  # type: ignore[type-var]
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"The environment variable {EXECUTION_VARIABLE} must hold JSON of the settings of {part!r} that say how to "
            f"compute, {list(execution_of(settings))}. Received: {text!r} ({error})."
        ) from error
