"""One model of a study, trained from one seed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import hfmnas_keras
from hfmnas_keras.settings.execution import execution_of, without_execution
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.models import SEARCHED_MODELS
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import BMSpaceSettings, SpaceSettings
from hfmnas_keras.settings.training import TrainingSettings
from pipeline.config import RunConfig
from pipeline.studies.variant import RANDOM

#: What any cell can keep.
_FEWEST: dict[str, Any] = {"kept_nodes": 1, "kept_edges": 2}


@dataclasses.dataclass(frozen=True)
class Trial:
    """Everything on which a trained model depends. Equal trials are trained once, whichever studies they are in.

    Args:
        model: str. As `RunConfig.model`.
        fusion: `FusionSettings`.
        mitigation: `MitigationSettings`.
        space: `SpaceSettings` or `BMSpaceSettings`; `None` for a model whose shape is fixed.
        final_model: `FinalModelSettings`.
        search: `SearchSettings` with the trial's seed; `None` where nothing is searched.
        training: `TrainingSettings` with the trial's seed, on cached features: backbones stay frozen.
        random_genotype: int or None. Seed of a genotype that is drawn instead of searched.
        threshold: float. Multi-label data only: probability above which a label counts as predicted where
            `training.threshold` is `"fixed"`.
        data: str. Digest of the features.
    """

    model: str
    fusion: FusionSettings
    mitigation: MitigationSettings
    space: SpaceSettings | BMSpaceSettings | None
    final_model: FinalModelSettings
    search: SearchSettings | None
    training: TrainingSettings
    random_genotype: int | None
    threshold: float
    data: str

    @classmethod
    def of(cls, config: RunConfig, seed: int, data: str, genotype: str) -> Trial:
        """The trial that a configuration describes.

        Args:
            config: `RunConfig`, a variant's overrides applied.
            seed: int.
            data: str. Digest of the features.
            genotype: str. As `Variant.genotype`.
        """
        is_searched = config.model in SEARCHED_MODELS
        is_random = is_searched and genotype == RANDOM
        return cls(
            model=config.model,
            fusion=config.fusion,
            mitigation=config.mitigation,
            space=config.search_space if is_searched else None,
            final_model=config.final_model,
            search=dataclasses.replace(config.search, seed=seed) if is_searched and not is_random else None,
            training=dataclasses.replace(config.training, seed=seed, unfreeze_backbones=False),
            random_genotype=seed if is_random else None,
            threshold=config.gate.threshold,
            data=data,
        )

    @property
    def seed(self) -> int:
        return self.training.seed

    @property
    def name(self) -> str:
        """Names the trial's files."""
        return f"{self.model}-seed_{self.seed}-{_digest(_changed(self))}"

    @property
    def search_name(self) -> str | None:
        """Names the search's files; `None` where nothing is searched. Trials that differ in the final model alone share
        a search."""
        if self.search is None:
            return None
        searched = dataclasses.replace(
            self,
            space=self.searched_space,
            final_model=FinalModelSettings(),
            training=TrainingSettings(),
            threshold=0.5,
        )
        return f"{self.model}-seed_{self.seed}-{_digest(_changed(searched))}"

    @property
    def searched_space(self) -> SpaceSettings | BMSpaceSettings | None:
        """What the search is given: without the settings that have no influence on it."""
        if self.keeps_after_search and isinstance(self.space, SpaceSettings):
            return dataclasses.replace(self.space, **_FEWEST)
        return self.space

    @property
    def keeps_after_search(self) -> bool:
        """Whether how many nodes and edges are kept has no influence on the search, and is decided after it."""
        search = self.search
        if search is None:
            return False
        is_plain = search.strategy == "bilevel" and search.select == "last" and search.stop_when_stable is None
        return self.model == "hf_mnas" and is_plain

    def settings(self) -> dict[str, Any]:
        """All settings with an influence on the result, as JSON has them."""
        return _plain(self)

    def search_settings(self) -> dict[str, Any]:
        """Those with an influence on the search."""
        return {
            part: _plain(settings)
            for part, settings in (
                ("fusion", self.fusion),
                ("mitigation", self.mitigation),
                ("space", self.searched_space),
                ("search", self.search),
            )
        }


def _changed(trial: Trial) -> dict[str, Any]:
    """The settings that are not the defaults, so that a new setting does not void what was trained without it.

    The version stands for the code: no fingerprint, or a changed comment would void days of training.
    """
    changed: dict[str, Any] = {"version": hfmnas_keras.__version__}
    for field in dataclasses.fields(trial):
        value = getattr(trial, field.name)
        changed[field.name] = _without_defaults(value) if dataclasses.is_dataclass(value) else value
    return changed


def _without_defaults(settings: Any) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    without_influence = execution_of(settings)
    for setting in dataclasses.fields(settings):
        value = getattr(settings, setting.name)
        if value != setting.default and setting.name not in without_influence:
            changed[setting.name] = _without_defaults(value) if dataclasses.is_dataclass(value) else value
    return changed


def _plain(settings: Any) -> dict[str, Any]:
    return json.loads(json.dumps(without_execution(settings)))


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
