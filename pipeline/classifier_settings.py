"""The settings of a fitted `FusionClassifier`, as a configuration of the pipeline says them."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hfmnas_keras.estimator.record import read_record
from hfmnas_keras.settings.backbones import backbone_settings_class
from hfmnas_keras.settings.execution import is_execution
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.pretraining import PretrainingSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import SpaceSettings
from hfmnas_keras.settings.training import TrainingSettings
from pipeline.manifest_rules import Choice

_SECTIONS: Mapping[str, type] = {
    "pretraining": PretrainingSettings,
    "fusion": FusionSettings,
    "mitigation": MitigationSettings,
    "space": SpaceSettings,
    "search": SearchSettings,
    "final_model": FinalModelSettings,
    "training": TrainingSettings,
}
_GENOTYPE = "genotype.json"


def like_classifier(choices: Sequence[Choice], folder: str | os.PathLike) -> list[Choice]:
    """Replaces what a configuration says of preparation and training by what a classifier was fitted with.

    Only what differs from the defaults is said. The classifier's genotype is taken, so that nothing is searched.

    Args:
        choices: those of a configuration for the data.
        folder: what `FusionClassifier.save` wrote.

    Raises:
        ValueError: when there is no fitted classifier.
    """
    settings = read_record(folder)["settings"]
    replaced = tuple(f"{section}." for section in ("backbones", *_SECTIONS))
    kept = [choice for choice in choices if not choice.key.startswith(replaced) and choice.key != "genotype"]
    size = [number for number, choice in enumerate(kept) if choice.key == "preparation.image_size"]
    for number in size:
        kept[number] = Choice("preparation.image_size", settings["image_size"], "the classifier's")
    taken = [Choice("genotype", str((pathlib.Path(folder) / _GENOTYPE).resolve()), "found by the classifier's search")]
    for modality in ("text", "image"):
        kind = settings[modality].get("kind")
        if kind is not None:
            taken.append(Choice(f"backbones.{modality}.kind", kind))
        taken += _differing(
            f"backbones.{modality}", settings[modality], _defaults(backbone_settings_class(modality, kind)), ("kind",)
        )
    for section, settings_class in _SECTIONS.items():
        execution = [field.name for field in dataclasses.fields(settings_class) if is_execution(field)]
        taken += _differing(section, settings[section], _defaults(settings_class), execution)
    # The name and the data first, the gate last.
    place = max(number for number, choice in enumerate(kept) if choice.key.startswith("preparation.")) + 1
    return [*kept[:1], taken[0], *kept[1:place], *taken[1:], *kept[place:]]


def classifier_columns(folder: str | os.PathLike) -> dict[str, str]:
    """What the classifier's data call the columns of a manifest, where they call them otherwise."""
    record = read_record(folder)
    columns = dict(record["columns"])
    if len(record["label_columns"]) == 1 and record["label_columns"][0] not in ("label", "labels"):
        columns["label"] = record["label_columns"][0]
    return {ours: theirs for ours, theirs in columns.items() if ours != theirs}


def _defaults(settings_class: type) -> dict[str, Any]:
    defaults = {}
    for field in dataclasses.fields(settings_class):
        if field.default is not dataclasses.MISSING:
            defaults[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            defaults[field.name] = field.default_factory()
    return defaults


def _differing(
    prefix: str, values: Mapping[str, Any], defaults: Mapping[str, Any], left_out: Sequence[str]
) -> Iterator[Choice]:
    for name, value in values.items():
        default = defaults.get(name)
        if name in left_out:
            continue
        if dataclasses.is_dataclass(default) and not isinstance(default, type):
            yield from _differing(f"{prefix}.{name}", value, dataclasses.asdict(default), ())
        elif value != (list(default) if isinstance(default, tuple) else default):
            yield Choice(f"{prefix}.{name}", value)
