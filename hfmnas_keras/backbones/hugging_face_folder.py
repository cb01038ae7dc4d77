"""Reads what lies beside the weights in a Hugging Face folder: its configuration and its tokenizer."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
#: In the order of RoBERTa's ids.
BYTE_PAIR_PIECES = ("<s>", "<pad>", "</s>", "<unk>")
_LARGEST_TEXT = 64_000_000
_LARGEST_VOCABULARY = 10_000_000


def wordpiece_of_hugging_face(folder: str | os.PathLike) -> tuple[pathlib.Path, bool, bool]:
    """The tokenizer of a Hugging Face folder, if it is BERT's WordPiece, the kind that can be served.

    Returns:
        The file with the vocabulary, whether letters become small ones, and whether accents go.

    Raises:
        ValueError: when it is of another kind.
        OSError: when a file is missing.
    """
    path = pathlib.Path(folder) / "vocab.txt"
    lower_case, strip_accents = wordpiece_normalisation(pathlib.Path(folder))
    wordpiece_vocabulary(path, _LARGEST_VOCABULARY)
    return path, lower_case, strip_accents


def wordpiece_vocabulary(path: pathlib.Path, size: int) -> list[str]:
    """The pieces in a `vocab.txt`, of which a model embeds at most `size`."""
    words = _read_text(path).removesuffix("\n").split("\n")
    words = [word.removesuffix("\r") for word in words]
    is_known = set(SPECIAL_PIECES) <= set(words) and words[0] == SPECIAL_PIECES[0]
    if len(words) > size or len(set(words)) != len(words) or not is_known:
        raise ValueError(
            f"{str(path)!r} must have at most {size} lines, as the model embeds, all different, with "
            f"{', '.join(SPECIAL_PIECES)} among them and the first at its beginning. Received: {len(words)} lines, "
            f"{len(set(words))} different."
        )
    return words


def wordpiece_normalisation(folder: pathlib.Path) -> tuple[bool, bool]:
    """Whether letters become small ones, and whether accents go."""
    if (path := folder / "tokenizer.json").is_file():
        tokenizer = read_json(path)
        model, normalizer = (tokenizer.get(part) or {} for part in ("model", "normalizer"))
        expected = {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        }
        received = {name: model.get(name) for name in expected}
        if received != expected or normalizer.get("type") != "BertNormalizer" or normalizer.get("clean_text") is False:
            raise ValueError(
                f"The tokenizer in {str(path)!r} must be BERT's WordPiece, the one kind that is served: {expected} "
                f"behind a BertNormalizer. Received: {received} behind {normalizer.get('type')!r}."
            )
        figures = normalizer, "lowercase", "handle_chinese_chars"
    else:
        path = folder / "tokenizer_config.json"
        figures = read_json(path), "do_lower_case", "tokenize_chinese_chars"
    content, lower_key, chinese_key = figures
    lower_case, strip_accents = content.get(lower_key, True), content.get("strip_accents")
    if type(lower_case) is not bool or strip_accents not in (None, True, False):
        raise ValueError(f"`{lower_key}` and `strip_accents` in {str(path)!r} must be true or false.")
    if content.get(chinese_key, True) is not True:
        raise ValueError(f"{str(path)!r} does not part Chinese characters, which is not known here.")
    return lower_case, lower_case if strip_accents is None else strip_accents


def byte_pair_of_hugging_face(folder: str | os.PathLike, size: int) -> tuple[list[str], list[str]]:
    """RoBERTa's tokenizer in a Hugging Face folder.

    Args:
        folder: with `tokenizer.json`, or with `vocab.json` and `merges.txt`.
        size: int. Ids that the model embeds.

    Returns:
        The pieces by their ids, the first two of which have changed places, so that 0 is padding; and the merges, two
        pieces each with a blank between them.

    Raises:
        ValueError: when it is of another kind, or damaged.
        OSError: when a file is missing.
    """
    folder = pathlib.Path(folder)
    if (path := folder / "tokenizer.json").is_file():
        tokenizer = read_json(path)
        model, splitter = (tokenizer.get(part) or {} for part in ("model", "pre_tokenizer"))
        received = (
            model.get("type"),
            splitter.get("type"),
            splitter.get("add_prefix_space"),
            tokenizer.get("normalizer"),
        )
        if received != ("BPE", "ByteLevel", False, None) or model.get("end_of_word_suffix"):
            raise ValueError(
                f"The tokenizer in {str(path)!r} must be byte-level BPE as RoBERTa has it, which adds no blank. "
                f"Received type, pre-tokenizer, add_prefix_space and normalizer: {received}."
            )
        ids, merges = model.get("vocab"), model.get("merges")
    else:
        path = folder / "vocab.json"
        ids = read_json(path)
        lines = _read_text(folder / "merges.txt").splitlines()
        merges = [line for line in lines if line and not line.startswith("#version")]
    return _byte_pair_vocabulary(path, ids, size), _merges(path, merges)


def _byte_pair_vocabulary(path: Any, ids: Any, size: Any) -> Any:
    if not isinstance(ids, dict) or not all(type(number) is int for number in ids.values()):
        raise ValueError(f"The vocabulary in {str(path)!r} must be a mapping from pieces to ints.")
    pieces = sorted(ids, key=ids.__getitem__)
    if [ids[piece] for piece in pieces] != list(range(len(ids))) or len(ids) > size:
        raise ValueError(f"The ids in {str(path)!r} must be 0 to at most {size - 1}, as the model embeds, each once.")
    first = tuple(pieces[: len(BYTE_PAIR_PIECES)])
    if first != BYTE_PAIR_PIECES or any(len(piece.split()) != 1 for piece in pieces):
        raise ValueError(
            f"The pieces in {str(path)!r} must begin with {', '.join(BYTE_PAIR_PIECES)}, and none hold a blank. "
            f"Received: {first}."
        )
    return [pieces[1], pieces[0], *pieces[2:]]


def _merges(path: Any, merges: Any) -> Any:
    # Newer files have pairs, older ones texts.
    texts = [" ".join(merge) if isinstance(merge, list) else merge for merge in merges or ()]
    if not texts or not all(isinstance(text, str) and len(text.split()) == 2 for text in texts):
        raise ValueError(f"The merges of {str(path)!r} must be pairs of pieces with a blank between them.")
    return texts


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """A mapping in a JSON file of bounded size."""
    try:
        content = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{str(path)!r} must hold a mapping. Received: {type(content).__name__}.")
    return content


def _read_text(path: Any) -> str:
    if path.stat().st_size > _LARGEST_TEXT:
        raise ValueError(f"{str(path)!r} has more than {_LARGEST_TEXT:,} bytes, which no such file has.")
    return path.read_text(encoding="utf-8")
