"""Settings of a small fusion network by part, from the names of their fields: what many tests build."""

from __future__ import annotations

import dataclasses
from typing import Any

from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.space import BMSpaceSettings, SpaceSettings


class NetworkSettings:
    """All parts of a network, which differ from the paper's in some fields.

    No two parts have a field of the same name; `channels` is the width of the supernet as well.
    """

    def __init__(self, **fields: Any):
        self.fields = fields
        rest = dict(fields)
        self.fusion = _part(FusionSettings, rest)
        self.mitigation = _part(MitigationSettings, rest)
        self.final_model = _part(FinalModelSettings, rest)
        self.bm_space = _part(BMSpaceSettings, rest)
        self.space = SpaceSettings(**rest)

    def changed(self, **fields: Any) -> NetworkSettings:
        return NetworkSettings(**{**self.fields, **fields})

    @property
    def channels(self) -> int:
        return self.final_model.channels

    def search(self, model: str = "hf_mnas") -> dict[str, Any]:
        """What `search_architecture` takes."""
        space = self.bm_space if model == "bm_nas" else self.space
        return {"fusion": self.fusion, "mitigation": self.mitigation, "space": space}

    def supernet(self, model: str = "hf_mnas") -> dict[str, Any]:
        """What a supernet takes."""
        return {**self.search(model), "channels": self.channels}

    @property
    def model(self) -> dict[str, Any]:
        """What the final model takes beside its genotype."""
        return {"fusion": self.fusion, "mitigation": self.mitigation, "final_model": self.final_model}


def _part(settings_class: type, fields: dict[str, Any]) -> Any:
    names = {field.name for field in dataclasses.fields(settings_class)} & set(fields)
    return settings_class(**{name: fields.pop(name) for name in names})
