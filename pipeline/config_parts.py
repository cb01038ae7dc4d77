"""The parts of a run's configuration that are the pipeline's own: preparation, backbones, gate, serving, places."""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated, Any, Literal

import pydantic

from hfmnas_keras.evidence.abstention import Abstention
from hfmnas_keras.settings.backbones import (
    ImageBackboneSettings,
    SkeletonBackboneSettings,
    TextBackboneSettings,
    VideoBackboneSettings,
    backbone_settings_class,
)

STRICT = pydantic.ConfigDict(frozen=True, extra="forbid")
_Share = Annotated[float, pydantic.Field(ge=0, le=1)]


def expanded(path: str) -> str:
    """A path with the home folder for `~` and the values of environment variables for `$NAME`, as a shell has it."""
    return os.path.expanduser(os.path.expandvars(path))


class PreparationConfig(pydantic.BaseModel):
    """What Transform makes of the raw examples.

    Args:
        classes: tuple of str. Names of the classes, in the order of the model's outputs.
        multi_label: bool. Whether an example may carry any number of classes instead of exactly one.
        image_size: pair of ints. Height and width.
        max_tokens: int. Tokens kept of a text.
        max_subwords: int. Parts of four characters kept of a text's words, by which a backbone that is trained on these
            data tells words that it never saw, some five a word; 0: none.
        min_frequency: int. How often a token must occur in the train split to enter the vocabulary.
        clip_frames: int. Frames kept of a clip, colour or depth, evenly over all of it.
        clip_size: pair of ints. Height and width of a clip's frames.
        skeleton_frames: int. Frames that a skeleton is resampled to; the network needs 16.
    """

    model_config = STRICT

    classes: Annotated[tuple[str, ...], pydantic.Field(min_length=2)]
    multi_label: bool = False
    image_size: tuple[pydantic.PositiveInt, pydantic.PositiveInt] = (128, 128)
    max_tokens: pydantic.PositiveInt = 64
    max_subwords: pydantic.NonNegativeInt = 256
    min_frequency: pydantic.PositiveInt = 1
    clip_frames: Annotated[int, pydantic.Field(ge=1, le=1024)] = 8
    clip_size: tuple[pydantic.PositiveInt, pydantic.PositiveInt] = (224, 224)
    skeleton_frames: Annotated[int, pydantic.Field(ge=16, le=1024)] = 32

    @pydantic.field_validator("classes")
    @classmethod
    def _are_distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) != len(classes):
            raise ValueError("class names must be distinct")
        return classes


def _of_its_kind(modality: str) -> pydantic.BeforeValidator:
    """Reads a backbone's settings: those of the modality's own network, or of the kind that they name."""

    def of_its_kind(settings: Any) -> Any:
        if dataclasses.is_dataclass(settings):
            return settings
        if not isinstance(settings, dict):
            raise ValueError("must be a mapping of keys")
        settings_class: Any = backbone_settings_class(modality, settings.get("kind"))
        # As everywhere in a configuration, an unknown key is an error.
        strict_class = pydantic.with_config(pydantic.ConfigDict(extra="forbid"))(settings_class)
        return pydantic.TypeAdapter(strict_class).validate_python(settings)

    return pydantic.BeforeValidator(of_its_kind)


class BackbonesConfig(pydantic.BaseModel):
    """The unimodal backbones by modality; those of the source's two modalities are made.

    A `kind` asks for another than the modality's own network: a pre-trained one, `encoder`, or any Keras model,
    `keras`, for texts and pictures, or what a package of your own registers.

    Args:
        text: Maxout MLP on words and sub-words, or of another `kind`.
        image: VGG, or of another `kind`.
        skeleton: co-occurrence network, or of another `kind`.
        depth, video: three-dimensional residual network, or of another `kind`.
    """

    model_config = STRICT

    text: Annotated[Any, _of_its_kind("text")] = TextBackboneSettings()
    image: Annotated[Any, _of_its_kind("image")] = ImageBackboneSettings()
    skeleton: Annotated[Any, _of_its_kind("skeleton")] = SkeletonBackboneSettings()
    depth: Annotated[Any, _of_its_kind("depth")] = VideoBackboneSettings()
    video: Annotated[Any, _of_its_kind("video")] = VideoBackboneSettings()


class TuningConfig(pydantic.BaseModel):
    """What is tuned before the final model is trained, by trials on train and dev.

    Args:
        choices: mapping from settings of the final model and its training, such as `training.learning_rate`, to values
            to try; the configuration's own value is always one of them. See `hfmnas_keras.training.tuned_settings`.
        trials: int. Most trials; fewer where there are fewer combinations.
        seed: int. Of the drawing.
    """

    model_config = STRICT

    choices: Annotated[
        dict[str, Annotated[tuple[int | float, ...], pydantic.Field(min_length=1)]], pydantic.Field(min_length=1)
    ]
    trials: pydantic.PositiveInt = 10
    seed: int = 0


class GateConfig(pydantic.BaseModel):
    """When a model may be served.

    Args:
        min_f1_m: float. Least macro F1 on the test split.
        change_tolerance: float. How much macro F1 may fall below that of the last blessed model.
        above_reference: bool. Whether the model must not fall behind a linear model on one modality, nor behind one of
            its own heads. Defaults to `True`; `False` shows the references only.
        threshold: float. Multi-label data only: probability above which a label counts as predicted by a modality's
            head, and by the fused model where `training.threshold` is `"fixed"`; otherwise that has its own.
    """

    model_config = STRICT

    min_f1_m: _Share
    change_tolerance: _Share = 0.0
    above_reference: bool = True
    threshold: _Share = 0.5


class ServingConfig(pydantic.BaseModel):
    """Where blessed models go.

    Args:
        push_destination: str or None. Folder that receives one numbered SavedModel a push, as TF Serving reads it.
            `None` (default) is `serving/<name>` below the root of the run.
        infra_validation: bool. Whether TFX's InfraValidator tries the model in TF Serving's own container, which needs
            a Docker daemon. Defaults to `False`; the check in a fresh process is always made.
        abstention: `max_conflict` and `max_uncertainty`, floats in [0, 1] or None (default). Above one of them the
            served output `abstain` is true.
        card: mapping from any of `overview`, `owner`, `licence`, `intended_use` and `limitations` to what the card of a
            model says of it. The model card lies beside each pushed model, in `model_cards/`.
    """

    model_config = STRICT

    push_destination: str | None = None
    infra_validation: bool = False
    card: dict[Literal["overview", "owner", "licence", "intended_use", "limitations"], str] = {}
    abstention: Abstention = Abstention()


class PathsConfig(pydantic.BaseModel):
    """Where a run writes.

    Args:
        root: str or None. Folder of artifacts, metadata, checkpoints and pushed models; relative to the current
            folder. `None` (default) is `runs/<name>`. Of an address, such as `gs://bucket/posters`, metadata and logs
            stay on this machine, in `runs/<name>`.
    """

    model_config = STRICT

    root: str | None = None
