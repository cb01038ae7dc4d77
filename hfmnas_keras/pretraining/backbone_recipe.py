"""How the backbone of one modality is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import keras

from hfmnas_keras.backbones.encoder_backbone import encoder_backbone
from hfmnas_keras.backbones.image_backbone import image_backbone
from hfmnas_keras.backbones.keras_backbone import keras_backbone
from hfmnas_keras.backbones.skeleton_backbone import skeleton_backbone
from hfmnas_keras.backbones.text_backbone import text_backbone
from hfmnas_keras.backbones.video_backbone import video_backbone
from hfmnas_keras.settings.backbones import (
    BACKBONES,
    BackboneKind,
    ImageBackboneSettings,
    SkeletonBackboneSettings,
    TextBackboneSettings,
    VideoBackboneSettings,
)


@dataclasses.dataclass(frozen=True)
class BackboneRecipe:
    """What `pretrain_backbones` needs to know of a modality.

    Args:
        build: function without arguments that returns a new backbone: a model from one input to a dict of `low`,
            `high` and `logits`, in which a layer `head` maps `high` to `logits`. A layer that has a method `adapt_rows`
            is shown the rows of a fit, an array of the model's input, before the fit.
        sees_labels: bool. Whether training the backbone changes what its taps say. Such taps know the labels of the
            rows they were fitted on, so they are cross-fitted.
        learning_rate: float or None. Adam's rate; `None` (default) takes that of `PretrainingSettings`.
        weights: optional path of a `.keras` or `.weights.h5` file that replaces the training.
    """

    build: Callable[[], keras.Model]
    sees_labels: bool
    learning_rate: float | None = None
    weights: str | None = None


def text_recipe(
    vocabulary_size: int,
    max_tokens: int,
    num_outputs: int,
    settings: TextBackboneSettings | None = None,
    vocabulary: Sequence[str] | None = None,
    subword_vocabulary_size: int = 0,
    max_subwords: int = 0,
) -> BackboneRecipe:
    """Recipe of `text_backbone`, with its arguments."""
    settings = settings or TextBackboneSettings()
    return BackboneRecipe(
        build=lambda: text_backbone(
            vocabulary_size, max_tokens, num_outputs, settings, vocabulary, subword_vocabulary_size, max_subwords
        ),
        sees_labels=True,
        learning_rate=settings.learning_rate,
        weights=settings.weights,
    )


def image_recipe(
    image_shape: tuple[int, int, int],
    num_outputs: int,
    settings: ImageBackboneSettings | None = None,
    grid: tuple[int, int] = (4, 4),
) -> BackboneRecipe:
    """Recipe of `image_backbone`, with its arguments; a frozen trunk's taps see no label."""
    settings = settings or ImageBackboneSettings()
    return BackboneRecipe(
        build=lambda: image_backbone(image_shape, num_outputs, settings, grid),
        sees_labels=settings.train_trunk,
        weights=settings.weights,
    )


def video_recipe(
    input_shape: tuple[int, int, int, int],
    num_outputs: int,
    settings: VideoBackboneSettings | None = None,
    grid: tuple[int, int] = (8, 1),
    input_name: str = "video",
) -> BackboneRecipe:
    """Recipe of `video_backbone`, with its arguments; a frozen trunk's taps see no label."""
    settings = settings or VideoBackboneSettings()
    return BackboneRecipe(
        build=lambda: video_backbone(input_shape, num_outputs, settings, grid, input_name),
        sees_labels=settings.train_trunk,
        weights=settings.weights,
    )


def skeleton_recipe(
    input_shape: tuple[int, int, int, int],
    num_outputs: int,
    settings: SkeletonBackboneSettings | None = None,
    grid: tuple[int, int] = (8, 1),
) -> BackboneRecipe:
    """Recipe of `skeleton_backbone`, with its arguments; a frozen trunk's taps see no label."""
    settings = settings or SkeletonBackboneSettings()
    return BackboneRecipe(
        build=lambda: skeleton_backbone(input_shape, num_outputs, settings, grid),
        sees_labels=settings.train_trunk,
        weights=settings.weights,
    )


_Builder = TypeVar("_Builder", bound=Callable[..., keras.Model])
_BUILDERS: dict[str, Callable[..., keras.Model]] = {"encoder": encoder_backbone, "keras": keras_backbone}


def register_backbone(name: str, kind: BackboneKind, description: str = "") -> Callable[[_Builder], _Builder]:
    """Decorator that gives a kind of backbone its name, under which `backbones.MODALITY.kind` asks for it.

    What it decorates is a function `(modality, input_shape, num_outputs, settings, grid)`: shape of a row without the
    batch, classes, an instance of `kind.settings`, and height and width that maps are pooled to. It returns a new
    model as of `BackboneRecipe.build`.

    Args:
        name: str. A Python identifier.
        kind: `BackboneKind`.
        description: str. A line for people.

    Raises:
        ValueError: when the name is taken.
    """
    BACKBONES.register(name, description)(kind)

    def register(builder: _Builder) -> _Builder:
        _BUILDERS[name] = builder
        return builder

    return register


def recipe_of_kind(
    modality: str, input_shape: tuple[int, ...], num_outputs: int, settings: Any, grid: tuple[int, int] = (4, 4)
) -> BackboneRecipe:
    """Recipe of a backbone whose `settings.kind` is one of `BACKBONES`."""
    return BackboneRecipe(
        build=lambda: _BUILDERS[settings.kind](modality, input_shape, num_outputs, settings, grid),
        sees_labels=getattr(settings, "train_trunk", True),
        learning_rate=getattr(settings, "learning_rate", None),
        weights=getattr(settings, "weights", None),
    )
