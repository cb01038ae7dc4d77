"""How texts and pictures are prepared for a pre-trained encoder: as those that it was trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hfmnas_keras.backbones.convert_encoder import sha256_of
from hfmnas_keras.backbones.encoder_folder import encoder_home, find_encoder, read_description, vocabulary_path
from hfmnas_keras.settings.backbones import EncoderBackboneSettings


def encoder_preparation(backbones: Iterable[Any]) -> dict[str, Any]:
    """Entries of Transform's `custom_config` that follow from the backbones; none without an encoder.

    Args:
        backbones: settings of the run's backbones.

    Raises:
        ValueError: when an encoder is missing.
    """
    entries: dict[str, Any] = {}
    for settings in backbones:
        if isinstance(settings, EncoderBackboneSettings):
            description = read_description(find_encoder(settings.encoder))
            if description.modality == "text":
                tokenizer = tokenizer_of(settings.encoder)
                # For the cache to see what is in the file.
                entries["tokenizer"] = {**tokenizer, "sha256": sha256_of(encoder_home() / tokenizer["vocabulary"])}
            else:
                entries["interpolation"] = description.interpolation
    return entries


def tokenizer_of(encoder: str) -> dict[str, Any]:
    """Arguments of the `WordPiece` of an encoder of texts, but its `max_tokens`.

    The vocabulary's path is relative to `encoder_home` where the encoder is there: the same on every machine.
    """
    folder = find_encoder(encoder)
    description = read_description(folder)
    path = vocabulary_path(folder)
    return {
        "vocabulary": str(path.relative_to(encoder_home()) if path.is_relative_to(encoder_home()) else path),
        "lower_case": description.lower_case,
        "strip_accents": description.strip_accents,
    }
