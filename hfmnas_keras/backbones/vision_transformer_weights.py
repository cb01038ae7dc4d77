"""Puts the tensors of published vision transformers into ours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from hfmnas_keras.backbones.standardisation import IMAGENET
from hfmnas_keras.backbones.tensor_places import (
    TensorPlace,
    convolution_places,
    einsum_places,
    fill_places,
    linear_places,
    normalization_places,
)
from hfmnas_keras.backbones.vision_transformer import VisionTransformerShape, vision_transformer

_HALVES = ((127.5,) * 3, (127.5,) * 3)
_CLIP = ((122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6321579, 70.32316305))


@dataclasses.dataclass(frozen=True)
class _Family:
    """How a family's files name things, and what their `config.json` leaves out.

    Args:
        model_types: those in `config.json`, ours first.
        prefixes: what may stand before all names.
        block: the prefix of a block, by its number.
        parts: names of query, key, value, output, normalisation before the attention, that before the dense layers, and
            both of them.
        patches, last, first: names of the projection of patches, the last normalisation, and one before the blocks.
        defaults: for keys of `config.json`.
        left_out: beginnings of names of tensors that are for training, or for texts.
        statistics, interpolation: of the published preprocessing.
    """

    model_types: tuple[str, ...]
    prefixes: tuple[str, ...]
    block: str
    parts: tuple[str, ...]
    patches: str
    last: str
    first: str | None
    defaults: dict[str, Any]
    left_out: tuple[str, ...]
    statistics: tuple[tuple[float, ...], tuple[float, ...]]
    interpolation: str


_ATTENTION = ("attention.attention.query", "attention.attention.key", "attention.attention.value")
_TOWER = (
    *("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"),
    *("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"),
)
_OF_BOTH_TOWERS = ("text_model.", "text_projection.", "logit_scale", "logit_bias", "head.", "embeddings.position_ids")

FAMILIES = {
    "vit": _Family(
        ("vit",),
        ("vit.", ""),
        "encoder.layer.{}.",
        (
            *_ATTENTION,
            *("attention.output.dense", "layernorm_before", "layernorm_after", "intermediate.dense", "output.dense"),
        ),
        "embeddings.patch_embeddings.projection",
        "layernorm",
        None,
        {"layer_norm_eps": 1e-12, "num_attention_heads": 12, "hidden_act": "gelu"},
        ("pooler.", "classifier.", "decoder.", "embeddings.mask_token"),
        _HALVES,
        "bilinear",
    ),
    "dinov2": _Family(
        ("dinov2", "dinov2_with_registers"),
        ("dinov2_with_registers.", "dinov2.", ""),
        "encoder.layer.{}.",
        (*_ATTENTION, "attention.output.dense", "norm1", "norm2", "mlp.fc1", "mlp.fc2"),
        "embeddings.patch_embeddings.projection",
        "layernorm",
        None,
        {"layer_norm_eps": 1e-6, "num_attention_heads": 12, "hidden_act": "gelu"},
        ("classifier.", "embeddings.mask_token"),
        IMAGENET,
        "bicubic",
    ),
    "clip": _Family(
        ("clip", "clip_vision_model"),
        ("vision_model.", ""),
        "encoder.layers.{}.",
        _TOWER,
        "embeddings.patch_embedding",
        "post_layernorm",
        "pre_layrnorm",
        {"layer_norm_eps": 1e-5, "num_attention_heads": 12, "hidden_act": "quick_gelu"},
        _OF_BOTH_TOWERS,
        _CLIP,
        "bicubic",
    ),
    "siglip": _Family(
        ("siglip", "siglip_vision_model"),
        ("vision_model.", ""),
        "encoder.layers.{}.",
        _TOWER,
        "embeddings.patch_embedding",
        "post_layernorm",
        None,
        {"layer_norm_eps": 1e-6, "num_attention_heads": 12, "hidden_act": "gelu_pytorch_tanh"},
        _OF_BOTH_TOWERS,
        _HALVES,
        "bicubic",
    ),
}
_POSITIONS, _PROJECTION = "embeddings.position_embeddings", "visual_projection.weight"


def vision_transformer_from_tensors(
    kind: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    preprocessor: Mapping[str, Any] | None = None,
) -> keras.Model:
    """A `vision_transformer` with the weights of a Hugging Face model.

    Sizes are read off the tensors. Of CLIP and SigLIP it is the picture tower; SigLIP's pooling by attention, and heads
    of training tasks, are left out. DINOv2's layer scales become part of the dense layers before them.

    Args:
        kind: str. `"vit"`, `"dinov2"` (with or without registers), `"clip"` or `"siglip"`.
        config: the model's `config.json`.
        tensors: the model's tensors by name.
        preprocessor: its `preprocessor_config.json`, for the mean and the deviation of pictures. Defaults to `None`:
            those that the family was published with.

    Raises:
        ValueError: when the model is of another family, computes something else, or lacks tensors.
    """
    family = FAMILIES[kind]
    if config.get("model_type") not in family.model_types:
        raise ValueError(
            f"`model_type` in config.json must be {' or '.join(family.model_types)} for {kind}. Received: "
            f"{config.get('model_type')!r}."
        )
    config = {**family.defaults, **config, **(config.get("vision_config") or {})}
    if config.get("use_swiglu_ffn"):
        raise ValueError(
            "DINOv2's giant, whose blocks have gates (`use_swiglu_ffn`), is not known. Take a smaller one."
        )
    plain = _plain_tensors(family, tensors)
    model = vision_transformer(_shape(family, config, plain, preprocessor or {}))
    fill_places(
        model.name,
        list(_places(family, model)),
        plain,
        "Take a folder whose config.json and model.safetensors belong to one model.",
    )
    return model


def _plain_tensors(family: Any, tensors: Any) -> Any:
    """Without prefixes, with one table of all that stands at a position, and without layer scales."""
    marker = f"{family.patches}.weight"
    prefix = next((prefix for prefix in family.prefixes if prefix + marker in tensors), "")
    plain = {}
    for name, values in tensors.items():
        name = name.removeprefix(prefix)
        if not name.startswith(family.left_out):
            plain[name] = values
    required = [marker, *(name for name in (_POSITIONS, "embeddings.position_embedding.weight") if name in plain)]
    if len(required) != 2 or marker not in plain or plain[marker].ndim != 4:
        raise ValueError(f"A {family.model_types[0]} has patches {marker} and a table of positions. Received neither.")
    # Its names here: (1, positions, channels), or in CLIP and SigLIP (positions, channels).
    width = plain[marker].shape[0]
    table = plain.pop(required[1])
    if table.size % width or table.shape[-1] != width:
        raise ValueError(
            f"{required[1]} has shape {table.shape}, {marker} {plain[marker].shape}. Expected equal widths."
        )
    table = table.reshape(-1, width)
    for name in ("embeddings.cls_token", "embeddings.class_embedding"):
        if name in plain:
            registers = plain.pop("embeddings.register_tokens", np.zeros((0, width), "float32")).reshape(-1, width)
            table = np.concatenate([plain.pop(name).reshape(1, width) + table[:1], registers, table[1:]])
    plain[_POSITIONS] = table
    if f"{family.patches}.bias" not in plain:
        plain[f"{family.patches}.bias"] = np.zeros(width, "float32")
    for name in [name for name in plain if name.endswith(".lambda1")]:
        block, number = name.removesuffix(".lambda1").rsplit(".layer_scale", 1)
        target, scale = f"{block}.{family.parts[3 if number == '1' else 7]}", plain.pop(name)
        for part in ("weight", "bias"):
            values = plain.get(f"{target}.{part}")
            if values is not None and values.shape[:1] == scale.shape:
                plain[f"{target}.{part}"] = values * (scale[:, None] if values.ndim == 2 else scale)
    return plain


def _shape(family: Any, config: Any, plain: Any, preprocessor: Any) -> Any:
    width, _, patch, _ = plain[f"{family.patches}.weight"].shape
    inner = plain.get(f"{family.block.format(0)}{family.parts[6]}.weight")
    if inner is None or inner.ndim != 2:
        raise ValueError(f"A {family.model_types[0]} has a matrix {family.block.format(0)}{family.parts[6]}.weight.")
    depth = 0
    while any(name.startswith(family.block.format(depth)) for name in plain):
        depth += 1
    heads, epsilon = config["num_attention_heads"], config["layer_norm_eps"]
    if type(heads) is not int or heads < 1 or type(epsilon) not in (int, float):
        raise ValueError(
            "`num_attention_heads` in config.json must be an int and `layer_norm_eps` a number. Received: "
            f"{heads!r}, {epsilon!r}."
        )
    leading = config.get("num_register_tokens", 0) if config["model_type"] == "dinov2_with_registers" else 0
    if "siglip" not in family.model_types:
        leading += 1
    rows = len(plain[_POSITIONS]) - leading
    side = math.isqrt(max(0, rows))
    if side * side != rows or not rows:
        raise ValueError(f"The table of positions has {rows} of patches, which are no square.")
    mean, deviation = _statistics(family, preprocessor)
    return VisionTransformerShape(
        image_size=(side * patch, side * patch),
        patch=patch,
        width=width,
        depth=depth,
        heads=heads,
        inner_width=inner.shape[0],
        epsilon=epsilon,
        activation=config["hidden_act"],
        leading_tokens=leading,
        normalizes_first=family.first is not None,
        projection=len(plain[_PROJECTION]) if _PROJECTION in plain else 0,
        mean=mean,
        deviation=deviation,
    )


def _statistics(family: Any, preprocessor: Any) -> Any:
    """Mean and deviation in 0 to 255."""
    if preprocessor.get("do_normalize") is False:
        return (0.0,) * 3, (255.0,) * 3
    figures = []
    for name, default in zip(("image_mean", "image_std"), family.statistics, strict=True):
        values = preprocessor.get(name)
        if values is None:
            figures.append(default)
            continue
        if not isinstance(values, list) or len(values) != 3 or not all(type(each) in (int, float) for each in values):
            raise ValueError(f"`{name}` in preprocessor_config.json must be three numbers. Received: {values!r}.")
        figures.append(tuple(255.0 * each for each in values))
    return tuple(figures)


def _places(family: Any, model: keras.Model) -> Iterator[TensorPlace]:
    query, key, value, output, before_attention, before_dense, inner, outer = family.parts
    yield from convolution_places(family.patches, model.get_layer("patches"))
    yield TensorPlace(_POSITIONS, model.get_layer("positions").embeddings)
    if family.first is not None:
        yield from normalization_places(family.first, model.get_layer("first_normalization"))
    depth = sum(layer.name.endswith("_outer") for layer in model.layers)
    for number in range(1, depth + 1):
        prefix, layer = family.block.format(number - 1), f"layer_{number}"
        attention = model.get_layer(f"{layer}_attention")
        for name, dense in (
            (query, attention.query_dense),
            (key, attention.key_dense),
            (value, attention.value_dense),
            (output, attention.output_dense),
        ):
            yield from einsum_places(prefix + name, dense)
        yield from normalization_places(prefix + before_attention, model.get_layer(f"{layer}_attention_normalization"))
        yield from normalization_places(prefix + before_dense, model.get_layer(f"{layer}_normalization"))
        yield from linear_places(prefix + inner, model.get_layer(f"{layer}_inner"))
        yield from linear_places(prefix + outer, model.get_layer(f"{layer}_outer"))
    yield from normalization_places(family.last, model.get_layer("normalization"))
    if "projected" in model.output:
        projection = model.get_layer("projection").kernel
        yield TensorPlace(_PROJECTION, projection, lambda matrix: matrix.T if matrix.ndim == 2 else None)
