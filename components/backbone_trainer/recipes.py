"""Which backbone a modality has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow_transform as tft

from components.transform.text import subword_vocabulary_size, vocabulary_size
from components.vocabulary import read_vocabulary
from hfmnas_keras.pretraining.backbone_recipe import (
    BackboneRecipe,
    image_recipe,
    recipe_of_kind,
    skeleton_recipe,
    text_recipe,
    video_recipe,
)


def make_recipe(
    modality: str,
    settings: Any,
    num_outputs: int,
    row_shape: tuple[int, ...],
    grid: tuple[int, int],
    transform_graph: tft.TFTransformOutput,
) -> BackboneRecipe:
    """Returns how the backbone of a modality is made.

    Args:
        modality: str. One of `hfmnas_keras.data.modalities.MODALITIES`.
        settings: an instance of one of the modality's `hfmnas_keras.settings.backbones.backbone_settings_class`.
        num_outputs: int. Classes.
        row_shape: tuple of ints. Shape of a row as the backbone reads it.
        grid: pair of ints. Height and width that maps are pooled to.
        transform_graph: `tft.TFTransformOutput`, which knows the vocabulary.

    Returns:
        `BackboneRecipe`.
    """
    if getattr(settings, "kind", None) is not None:
        return recipe_of_kind(modality, row_shape, num_outputs, settings, grid)
    return _RECIPES[modality](settings, num_outputs, row_shape, grid, transform_graph)


def _text(settings, num_outputs, row_shape, grid, transform_graph):
    (max_tokens,) = transform_graph.transformed_feature_spec()["tokens"].shape
    max_subwords = row_shape[0] - max_tokens
    return text_recipe(
        vocabulary_size(transform_graph),
        max_tokens,
        num_outputs,
        settings,
        read_vocabulary(transform_graph),
        subword_vocabulary_size(transform_graph) if max_subwords else 0,
        max_subwords,
    )


def _image(settings, num_outputs, row_shape, grid, transform_graph):
    return image_recipe(row_shape, num_outputs, settings, grid)


def _skeleton(settings, num_outputs, row_shape, grid, transform_graph):
    return skeleton_recipe(row_shape, num_outputs, settings, grid)


def _depth(settings, num_outputs, row_shape, grid, transform_graph):
    return video_recipe(row_shape, num_outputs, settings, grid, input_name="depth")


def _video(settings, num_outputs, row_shape, grid, transform_graph):
    return video_recipe(row_shape, num_outputs, settings, grid)


_RECIPES: dict[str, Callable[..., BackboneRecipe]] = {
    "text": _text,
    "image": _image,
    "skeleton": _skeleton,
    "depth": _depth,
    "video": _video,
}
