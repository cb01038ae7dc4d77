"""What a run's configuration says of its fusion network, for `hfmnas genotype cost`."""

from __future__ import annotations

import dataclasses

from hfmnas_keras.cost.network_description import NetworkDescription
from pipeline.config import RunConfig
from pipeline.config_file import load_config


def network_description(source: str) -> NetworkDescription:
    """Reads a configuration, as a run reads it.

    Args:
        source: str. Path of a YAML file, or the name of a preset.

    Returns:
        `NetworkDescription`.

    Raises:
        ValueError: when `source` does not describe a run.
    """
    config = load_config(source)
    return NetworkDescription(
        fusion=config.fusion,
        final_model=config.final_model,
        mitigation=config.mitigation,
        num_outputs=len(config.preparation.classes),
        taps=lambda: _taps(config),
    )


def _taps(config: RunConfig) -> tuple[dict[str, tuple[int, ...]], int | None]:
    # Here and not above: they import Keras.
    from hfmnas_keras.backbones.image_backbone import image_backbone
    from hfmnas_keras.backbones.text_backbone import text_backbone
    from hfmnas_keras.pretraining.backbone_recipe import recipe_of_kind

    preparation = config.preparation
    picture = (*preparation.image_size, 3)
    row_shapes: dict[str, tuple[int, ...]] = {"text": (preparation.max_tokens,), "image": picture}
    shapes: dict[str, tuple[int, ...]] = {}
    for modality in config.data.modalities:
        if modality not in row_shapes:
            raise ValueError(f"Taps of {modality} are known from features alone: give --features.")
        settings = getattr(config.backbones, modality)
        grid = config.fusion.grid
        # Shapes need neither the words' vectors nor the trunk's weights.
        if getattr(settings, "kind", None) is not None:
            model = recipe_of_kind(modality, row_shapes[modality], 2, settings, grid).build()
        elif modality == "text":
            model = text_backbone(2, preparation.max_tokens, 2, dataclasses.replace(settings, word_vectors=None))
        else:
            model = image_backbone(picture, 2, dataclasses.replace(settings, trunk=None), grid)
        shapes |= {f"{modality}_{level}": tuple(model.output[level].shape[1:]) for level in ("low", "high")}
    return shapes, preparation.max_tokens if "text" in config.data.modalities else None
