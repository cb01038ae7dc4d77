"""How much of the texts a pre-trained encoder knows, whose tokenizer may have been made for another language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from components.transform.encoder_preparation import tokenizer_of
from hfmnas_keras.backbones.encoder_folder import encoder_home
from hfmnas_keras.preparation.word_piece import MARKS
from hfmnas_keras.settings.backbones import EncoderBackboneSettings
from hfmnas_keras.settings.keras_backbone import KerasBackboneSettings

#: Below this share of known words an encoder says little of a text.
FEW = 0.9


def tell_known_pieces(settings: Any, tokens: Mapping[str, Any]) -> dict[str, dict[str, float]] | None:
    """Logs, by split, the share of the words that the encoder of texts knows, and how many texts it reads nothing of.

    Thai, Chinese or emoji are one mark to an encoder of English texts, `[UNK]`, whatever they say.

    Args:
        settings: of the text's backbone.
        tokens: arrays `(rows, max_tokens)` of ids by split.

    Returns:
        dict from split to `known` (share of the pieces, 1 where there are none) and `without` (texts of which no piece
        is known); `None` for another backbone than an encoder, and for one that knows every byte.
    """
    if isinstance(settings, EncoderBackboneSettings):
        name = settings.encoder
    elif isinstance(settings, KerasBackboneSettings) and settings.tokenizer is not None:
        name = settings.tokenizer
    else:
        return None
    tokenizer = tokenizer_of(name)
    if "merges" in tokenizer:
        return None
    with open(encoder_home() / tokenizer["vocabulary"], encoding="utf-8") as file:
        ids = {piece.rstrip("\n"): number for number, piece in enumerate(file)}
    found = {split: _counted(rows, ids) for split, rows in tokens.items()}
    told = ", ".join(f"{100 * counts['known']:.1f}% of those of {split}" for split, counts in found.items())
    logging.info("The encoder %s knows %s (pieces of words).", name, told)
    lost = {split: int(counts["without"]) for split, counts in found.items() if counts["without"]}
    if lost or min(counts["known"] for counts in found.values()) < FEW:
        logging.warning(
            "Of the texts, %s have no word that the encoder %s knows. Is it for texts of this language? Without "
            "`kind` in `backbones: {text: ...}` the text's own network learns the words of these data.",
            lost or "none",
            name,
        )
    return found


def _counted(tokens: np.ndarray, ids: dict[str, int]) -> dict[str, float]:
    is_piece = ~np.isin(tokens, [ids[MARKS.padding], ids[MARKS.start], ids[MARKS.end]])
    is_known = is_piece & (tokens != ids[MARKS.unknown])
    pieces = int(is_piece.sum())
    return {
        "known": float(is_known.sum() / pieces) if pieces else 1.0,
        "without": int((~is_known.any(axis=1)).sum()),
    }
