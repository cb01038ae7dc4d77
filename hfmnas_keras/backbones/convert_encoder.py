"""From the files of a published encoder to an encoder folder."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import Any

from hfmnas_keras.backbones.bert_encoder import bert_from_tensors
from hfmnas_keras.backbones.efficientnet_lite import VARIANTS, efficientnet_lite_from_tensors
from hfmnas_keras.backbones.encoder_folder import EncoderDescription, write_encoder
from hfmnas_keras.backbones.published_encoders import ENCODER_KINDS
from hfmnas_keras.backbones.safetensors_file import read_safetensors
from hfmnas_keras.backbones.tensor_file import read_tensors

_LITE = "efficientnet_lite"
SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_LARGEST_TEXT = 64_000_000


def convert_encoder(kind: str, source: str | os.PathLike, target: str | os.PathLike) -> EncoderDescription:
    """Writes an encoder folder from published weights; nothing in them is run.

    | kind | source |
    | --- | --- |
    | `bert` | a Hugging Face folder of BERT, MiniLM or DistilBERT: `config.json`, `model.safetensors`, `vocab.txt` and
      `tokenizer.json` or `tokenizer_config.json` |
    | `efficientnet_lite0` to `4` | a `.pth` or `.safetensors` file with the tensors of `efficientnet_lite_pytorch` |

    Args:
        kind: str. One of `ENCODER_KINDS`.
        source: file or folder.
        target: the folder to write.

    Returns:
        The `EncoderDescription` that was written.

    Raises:
        ValueError: when the source is none of that kind, or something else lies at the target.
        OSError: when a file cannot be read.
    """
    if kind not in ENCODER_KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(ENCODER_KINDS)}. Received: {kind!r}.")
    source = pathlib.Path(source)
    if kind == "bert":
        weights = source / "model.safetensors"
        model = bert_from_tensors(_json(source / "config.json"), read_safetensors(str(weights)))
        vocabulary = _vocabulary(source / "vocab.txt", model.get_layer("words").input_dim)
        lower_case, strip_accents = _normalisation(source)
        depth = len(model.output) - 1
        description = EncoderDescription(
            kind,
            "text",
            tuple(f"layer_{number}" for number in range(depth + 1)),
            # Words and how they stand together; a third of the way up.
            f"layer_{max(1, depth // 3)}",
            f"layer_{depth}",
            sha256_of(weights),
            max_tokens=model.get_layer("positions").input_dim,
            lower_case=lower_case,
            strip_accents=strip_accents,
        )
    else:
        variant = int(kind.removeprefix(_LITE))
        model = efficientnet_lite_from_tensors(read_tensors(source), variant)
        vocabulary = None
        side = VARIANTS[variant][2]
        taps = (*(f"stage_{number}" for number in range(1, 8)), "top")
        description = EncoderDescription(
            kind,
            "image",
            taps,
            "stage_5",
            "stage_6",
            sha256_of(source),
            image_size=(side, side),
            interpolation="bicubic",
        )
    write_encoder(target, model, description, vocabulary)
    return description


def sha256_of(path: str | os.PathLike) -> str:
    """Digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _vocabulary(path, size):
    words = _text(path).removesuffix("\n").split("\n")
    words = [word.removesuffix("\r") for word in words]
    is_known = set(SPECIAL_PIECES) <= set(words) and words[0] == SPECIAL_PIECES[0]
    if len(words) > size or len(set(words)) != len(words) or not is_known:
        raise ValueError(
            f"{str(path)!r} must have at most {size} lines, as the model embeds, all different, with "
            f"{', '.join(SPECIAL_PIECES)} among them and the first at its beginning. Received: {len(words)} lines, "
            f"{len(set(words))} different."
        )
    return words


def _normalisation(folder):
    """Whether letters become small ones, and whether accents go."""
    if (path := folder / "tokenizer.json").is_file():
        tokenizer = _json(path)
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
                f"The tokenizer in {str(path)!r} must be BERT's WordPiece, {expected} behind a BertNormalizer. "
                f"Received: {received} behind {normalizer.get('type')!r}."
            )
        figures = normalizer, "lowercase", "handle_chinese_chars"
    else:
        path = folder / "tokenizer_config.json"
        figures = _json(path), "do_lower_case", "tokenize_chinese_chars"
    content, lower_key, chinese_key = figures
    lower_case, strip_accents = content.get(lower_key, True), content.get("strip_accents")
    if type(lower_case) is not bool or strip_accents not in (None, True, False):
        raise ValueError(f"`{lower_key}` and `strip_accents` in {str(path)!r} must be true or false.")
    if content.get(chinese_key, True) is not True:
        raise ValueError(f"{str(path)!r} does not part Chinese characters, which is not known here.")
    return lower_case, lower_case if strip_accents is None else strip_accents


def _json(path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{str(path)!r} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{str(path)!r} must hold a mapping. Received: {type(content).__name__}.")
    return content


def _text(path) -> str:
    if path.stat().st_size > _LARGEST_TEXT:
        raise ValueError(f"{str(path)!r} has more than {_LARGEST_TEXT:,} bytes, which no such file has.")
    return path.read_text(encoding="utf-8")
