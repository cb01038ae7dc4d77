"""From the files of a published encoder to an encoder folder."""

from __future__ import annotations

import hashlib
import os
import pathlib
from typing import Any

from hfmnas_keras.backbones.bert_encoder import bert_from_tensors
from hfmnas_keras.backbones.convnext import convnext_from_tensors
from hfmnas_keras.backbones.densenet import DENSENETS, densenet_from_tensors
from hfmnas_keras.backbones.efficientnet_lite import VARIANTS, efficientnet_lite_from_tensors
from hfmnas_keras.backbones.encoder_folder import EncoderDescription, write_encoder
from hfmnas_keras.backbones.hugging_face_folder import (
    byte_pair_of_hugging_face,
    read_json,
    wordpiece_normalisation,
    wordpiece_vocabulary,
)
from hfmnas_keras.backbones.published_encoders import ENCODER_KINDS
from hfmnas_keras.backbones.residual_network import RESIDUAL_NETWORKS, residual_network_from_tensors
from hfmnas_keras.backbones.safetensors_file import read_safetensors
from hfmnas_keras.backbones.tensor_file import read_tensors
from hfmnas_keras.backbones.vision_transformer_weights import FAMILIES, vision_transformer_from_tensors

_LITE = "efficientnet_lite"
_WEIGHTS = "model.safetensors"


def convert_encoder(kind: str, source: str | os.PathLike, target: str | os.PathLike) -> EncoderDescription:
    """Writes an encoder folder from published weights; nothing in them is run.

    | kind | source |
    | --- | --- |
    | `bert` | a Hugging Face folder of BERT, MiniLM or DistilBERT: `config.json`, `model.safetensors`, `vocab.txt` and
      `tokenizer.json` or `tokenizer_config.json` |
    | `roberta` | the same of RoBERTa, with `tokenizer.json`, or `vocab.json` and `merges.txt` |
    | `vit`, `dinov2`, `clip`, `siglip` | a Hugging Face folder: `config.json`, `model.safetensors` and, where there is
      one, `preprocessor_config.json`; of CLIP and SigLIP the picture tower |
    | `convnext` | a Hugging Face folder of ConvNeXt (not V2) with the same files |
    | `resnet...`, `resnext...`, `densenet...` | torchvision's `.pth` file, or a `.safetensors` file with its names |
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
    if kind in ("bert", "roberta"):
        model, description, texts = _bert(kind, source)
    elif kind == "convnext":
        model, description, texts = _convnext(source)
    elif kind in RESIDUAL_NETWORKS or kind in DENSENETS:
        model, description, texts = _torchvision_network(kind, source)
    elif kind in FAMILIES:
        model, description, texts = _vision_transformer(kind, source)
    else:
        model, description, texts = _efficientnet_lite(kind, source)
    write_encoder(target, model, description, **texts)
    return description


def sha256_of(path: str | os.PathLike) -> str:
    """Digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _bert(kind: Any, source: Any) -> Any:
    weights, config = source / _WEIGHTS, read_json(source / "config.json")
    if (config.get("model_type") == "roberta") != (kind == "roberta"):
        raise ValueError(f"`model_type` in config.json is {config.get('model_type')!r}. Received the kind {kind!r}.")
    model = bert_from_tensors(config, read_safetensors(str(weights)))
    size, depth = model.get_layer("words").input_dim, len(model.output) - 1
    if kind == "roberta":
        vocabulary, merges = byte_pair_of_hugging_face(source, size)
        texts, lower_case, strip_accents = {"vocabulary": vocabulary, "merges": merges}, False, False
    else:
        texts = {"vocabulary": wordpiece_vocabulary(source / "vocab.txt", size)}
        lower_case, strip_accents = wordpiece_normalisation(source)
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
        tokenizer="byte_pair" if kind == "roberta" else "wordpiece",
    )
    return model, description, texts


def _efficientnet_lite(kind: Any, source: Any) -> Any:
    variant = int(kind.removeprefix(_LITE))
    side = VARIANTS[variant][2]
    description = EncoderDescription(
        kind,
        "image",
        (*(f"stage_{number}" for number in range(1, 8)), "top"),
        "stage_5",
        "stage_6",
        sha256_of(source),
        image_size=(side, side),
        interpolation="bicubic",
    )
    return efficientnet_lite_from_tensors(read_tensors(source), variant), description, {}


def _torchvision_network(kind: Any, source: Any) -> Any:
    tensors = read_tensors(source)
    if kind in RESIDUAL_NETWORKS:
        model = residual_network_from_tensors(tensors, *RESIDUAL_NETWORKS[kind])
    else:
        model = densenet_from_tensors(tensors, *DENSENETS[kind])
    taps = tuple(model.output)
    description = EncoderDescription(
        kind,
        "image",
        taps,
        # The stage before the last.
        "layer3" if kind in RESIDUAL_NETWORKS else "block_3",
        taps[-1],
        sha256_of(source),
        image_size=(224, 224),
        interpolation="bilinear",
    )
    return model, description, {}


def _convnext(source: Any) -> Any:
    weights = source / _WEIGHTS
    model = convnext_from_tensors(read_json(source / "config.json"), read_safetensors(str(weights)))
    description = EncoderDescription(
        "convnext",
        "image",
        tuple(model.output),
        list(model.output)[-2],
        list(model.output)[-1],
        sha256_of(weights),
        image_size=(224, 224),
        interpolation="bicubic",
    )
    return model, description, {}


def _vision_transformer(kind: Any, source: Any) -> Any:
    weights, preprocessor = source / _WEIGHTS, source / "preprocessor_config.json"
    prepared = read_json(preprocessor) if preprocessor.is_file() else {}
    config, tensors = read_json(source / "config.json"), read_safetensors(str(weights))
    model = vision_transformer_from_tensors(kind, config, tensors, prepared)
    # As Pillow counts them.
    interpolations = {None: FAMILIES[kind].interpolation, 2: "bilinear", 3: "bicubic"}
    if prepared.get("resample") not in interpolations:
        raise ValueError(
            f"`resample` in {str(preprocessor)!r} must be 2 (bilinear) or 3 (bicubic). Received: "
            f"{prepared['resample']!r}."
        )
    depth = sum(name.endswith("_outer") for name in (layer.name for layer in model.layers))
    description = EncoderDescription(
        kind,
        "image",
        tuple(model.output),
        # As of a network of stages, the low tap is no early one.
        f"layer_{max(1, depth * 2 // 3)}",
        "normed",
        sha256_of(weights),
        image_size=tuple(model.input.shape[1:3]),
        interpolation=interpolations[prepared.get("resample")],
    )
    return model, description, {}
