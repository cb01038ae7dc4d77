"""How texts and pictures are prepared for a pre-trained encoder: as those that it was trained on."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Any

from hfmnas_keras.backbones.convert_encoder import sha256_of
from hfmnas_keras.backbones.encoder_folder import (
    encoder_home,
    find_encoder,
    merges_path,
    read_description,
    vocabulary_path,
)
from hfmnas_keras.backbones.hugging_face_folder import wordpiece_of_hugging_face
from hfmnas_keras.settings.backbones import EncoderBackboneSettings
from hfmnas_keras.settings.keras_backbone import KerasBackboneSettings


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
                entries["tokenizer"] = _with_digest(tokenizer_of(settings.encoder))
            else:
                entries["interpolation"] = description.interpolation
        elif isinstance(settings, KerasBackboneSettings):
            if settings.tokenizer is not None:
                entries["tokenizer"] = _with_digest(tokenizer_of(settings.tokenizer))
            else:
                entries["interpolation"] = settings.interpolation
    return entries


def tokenizer_of(encoder: str) -> dict[str, Any]:
    """Arguments of an encoder's `WordPiece` or `BytePair`, or of a Hugging Face folder's `WordPiece`; no `max_tokens`.

    Paths are relative to `encoder_home` where the encoder is there: the same on every machine.

    Raises:
        ValueError: when there is no such encoder, or the folder has another tokenizer.
    """
    if (pathlib.Path(encoder) / "config.json").is_file() or (pathlib.Path(encoder) / "tokenizer.json").is_file():
        vocabulary, lower_case, strip_accents = wordpiece_of_hugging_face(encoder)
        return {"vocabulary": str(vocabulary), "lower_case": lower_case, "strip_accents": strip_accents}
    folder = find_encoder(encoder)
    description = read_description(folder)
    if description.modality != "text":
        raise ValueError(f"The encoder {encoder!r} reads no texts, so that it has no tokenizer. Take one that does.")
    if description.tokenizer == "byte_pair":
        return {"vocabulary": _relative(vocabulary_path(folder)), "merges": _relative(merges_path(folder))}
    return {
        "vocabulary": _relative(vocabulary_path(folder)),
        "lower_case": description.lower_case,
        "strip_accents": description.strip_accents,
    }


def _with_digest(tokenizer):
    """For the cache to see what is in the file."""
    digests = [sha256_of(encoder_home() / tokenizer[name]) for name in ("vocabulary", "merges") if name in tokenizer]
    return {**tokenizer, "sha256": "+".join(digests)}


def _relative(path):
    return str(path.relative_to(encoder_home()) if path.is_relative_to(encoder_home()) else path)
