"""What the cost of a fusion network depends on, beside its genotype."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable

from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings

#: Entry points that read a run's configuration: functions from a path or a preset's name to a `NetworkDescription`.
READERS = "hfmnas.network_descriptions"


@dataclasses.dataclass(frozen=True)
class NetworkDescription:
    """A fusion network, as a run's configuration describes it.

    Args:
        fusion: `FusionSettings`.
        final_model: `FinalModelSettings`.
        mitigation: `MitigationSettings`.
        num_outputs: int. Classes.
        taps: function without arguments that returns the shapes of the backbones' taps by name, without the batch, and
            the length of the token sequences or None. It builds the backbones.
    """

    fusion: FusionSettings
    final_model: FinalModelSettings
    mitigation: MitigationSettings
    num_outputs: int
    taps: Callable[[], tuple[dict[str, tuple[int, ...]], int | None]]


def read_network_description(source: str) -> NetworkDescription:
    """Reads what a configuration says of its fusion network, by the package that knows configurations.

    Raises:
        ImportError: when no such package is installed.
        ValueError: when `source` does not describe a run.
    """
    for reader in importlib.metadata.entry_points(group=READERS):
        try:
            read = reader.load()
        except ImportError as error:
            raise ImportError(
                f"A configuration is the pipeline's, which is not installed ({error}). "
                "Install the extra `pipeline`, or give --features and --classes."
            ) from error
        return read(source)
    raise ImportError(
        "A configuration is the pipeline's, which is not installed. "
        "Install the extra `pipeline`, or give --features and --classes."
    )
