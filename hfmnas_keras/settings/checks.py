"""What several settings check alike."""

from __future__ import annotations

from collections.abc import Sequence


def require(condition: bool, name: str, received: object, expected: str) -> None:
    """Raises a `ValueError` that says what a setting must be and what came, unless `condition` holds."""
    if not condition:
        raise ValueError(f"`{name}` must be {expected}. Received: {received!r}.")


def require_devices(devices: object) -> None:
    """Raises a `ValueError` unless `devices` is `"all"` or a number of at least 1."""
    is_number = isinstance(devices, int) and not isinstance(devices, bool) and devices >= 1
    require(is_number or devices == "all", "devices", devices, '"all" or a number of at least 1')


def require_one_source(settings: object, names: Sequence[str]) -> None:
    """Raises a `ValueError` when more than one of the named settings says where weights come from."""
    given = [f"{name}={getattr(settings, name)!r}" for name in names if getattr(settings, name) is not None]
    if len(given) > 1:
        raise ValueError(f"The weights of a trunk come from one place. Received: {', '.join(given)}. Keep one of them.")
