"""ConvNeXt: convolutional networks for pictures, built after transformers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from hfmnas_keras.backbones.standardisation import IMAGENET, standardisation
from hfmnas_keras.backbones.tensor_places import (
    TensorPlace,
    convolution_places,
    fill_places,
    linear_places,
    normalization_places,
)

_STEM = "embeddings.patch_embeddings"
# The class-wise head, and the normalisation before it, of the mean over a map.
_LEFT_OUT = ("classifier.", "layernorm.")


def convnext(widths: Sequence[int] = (96, 192, 384, 768), depths: Sequence[int] = (3, 3, 9, 3)) -> keras.Model:
    """Builds ConvNeXt of built-in Keras layers alone, so that its `.keras` file loads without our code.

    Four stages, each behind a layer normalisation and a strided convolution. A block adds to its input a depthwise
    convolution of 7x7, layer normalisation and two dense layers with the exact gelu between them; its layer scale is
    part of the second one. Preprocessing is part of the model.

    Args:
        widths: ints. Channels of the stages. Defaults to those of ConvNeXt-Tiny.
        depths: ints. Blocks of the stages. Defaults to those of ConvNeXt-Tiny.

    Returns:
        `keras.Model` from `image`, float32 `(batch, height, width, 3)` of any size, RGB in 0 to 255, to a dict of
        `stage_1` to `stage_4`, maps with 1/4, 1/8, 1/16 and 1/32 of the height and width.

    Raises:
        ValueError: when there are not as many widths as depths, or one is not positive.

    Example:
    >>> tuple(convnext((4, 4, 6, 8), (1, 1, 1, 1))(np.zeros((1, 64, 64, 3)))["stage_3"].shape)
    (1, 4, 4, 6)

    Reference:
     - [Liu et al., 2022](https://arxiv.org/abs/2201.03545)
    """
    if not 1 <= len(widths) == len(depths) or min(*widths, *depths) < 1:
        raise ValueError(f"`widths` and `depths` must be positive ints, one a stage. Received: {widths}, {depths}.")
    image = keras.Input((None, None, 3), dtype="float32", name="image")
    hidden = standardisation(IMAGENET)(image)
    taps = {}
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        if stage == 1:
            hidden = keras.layers.Conv2D(width, 4, strides=4, name="stem")(hidden)
            hidden = _normalization("stem_normalization")(hidden)
        else:
            hidden = _normalization(f"stage_{stage}_normalization")(hidden)
            hidden = keras.layers.Conv2D(width, 2, strides=2, name=f"stage_{stage}_reduction")(hidden)
        for block in range(1, depth + 1):
            name = f"stage_{stage}_block_{block}"
            inner = keras.layers.DepthwiseConv2D(7, padding="same", name=f"{name}_depthwise")(hidden)
            inner = _normalization(f"{name}_normalization")(inner)
            # Keras's gelu is the exact one by default.
            inner = keras.layers.Dense(4 * width, activation="gelu", name=f"{name}_inner")(inner)
            inner = keras.layers.Dense(width, name=f"{name}_outer")(inner)
            hidden = keras.layers.Add(name=f"{name}_add")([hidden, inner])
        taps[f"stage_{stage}"] = hidden
    return keras.Model(image, taps, name="convnext")


def convnext_from_tensors(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> keras.Model:
    """A `convnext` with the weights of a Hugging Face model; its classifier is left out.

    Args:
        config: the model's `config.json`.
        tensors: the model's tensors by name.

    Raises:
        ValueError: when the model is of another family, computes something else, or lacks tensors.
    """
    if config.get("model_type") != "convnext" or config.get("hidden_act", "gelu") != "gelu":
        raise ValueError(
            "`model_type` in config.json must be convnext, and `hidden_act` gelu. Received: "
            f"{config.get('model_type')!r}, {config.get('hidden_act')!r}."
        )
    prefix = "convnext." if f"convnext.{_STEM}.weight" in tensors else ""
    plain = {name.removeprefix(prefix): values for name, values in tensors.items()}
    plain = {name: values for name, values in plain.items() if not name.startswith(_LEFT_OUT)}
    for name in [name for name in plain if name.endswith(".layer_scale_parameter")]:
        block, scale = name.removesuffix(".layer_scale_parameter"), plain.pop(name)
        for part in ("weight", "bias"):
            values = plain.get(f"{block}.pwconv2.{part}")
            if values is not None and values.shape[:1] == scale.shape:
                plain[f"{block}.pwconv2.{part}"] = values * (scale[:, None] if values.ndim == 2 else scale)
    model = convnext(*_sizes(plain))
    cure = "Take a folder whose config.json and model.safetensors belong to one model."
    fill_places(model.name, list(_places(model)), plain, cure)
    return model


def _normalization(name: str) -> Any:
    # Whatever config.json says, which is of the classifier's.
    return keras.layers.LayerNormalization(epsilon=1e-6, name=name)


def _sizes(plain: Any) -> Any:
    widths: list[int] = []
    depths: list[int] = []
    while (name := f"encoder.stages.{len(widths)}.layers.0.dwconv.bias") in plain:
        stage = f"encoder.stages.{len(widths)}.layers."
        depths.append(len({name.removeprefix(stage).split(".")[0] for name in plain if name.startswith(stage)}))
        widths.append(plain[name].size)
    if not widths:
        raise ValueError("A convnext has a tensor encoder.stages.0.layers.0.dwconv.bias. Received: no such tensor.")
    return widths, depths


def _places(model: keras.Model) -> Iterator[TensorPlace]:
    yield from convolution_places(_STEM, model.get_layer("stem"))
    yield from normalization_places("embeddings.layernorm", model.get_layer("stem_normalization"))
    for layer in model.layers:
        parts = layer.name.split("_")
        if parts[-1] == "reduction":
            name = f"encoder.stages.{int(parts[1]) - 1}.downsampling_layer"
            yield from normalization_places(f"{name}.0", model.get_layer(f"stage_{parts[1]}_normalization"))
            yield from convolution_places(f"{name}.1", layer)
        elif parts[-1] == "depthwise":
            name = f"encoder.stages.{int(parts[1]) - 1}.layers.{int(parts[3]) - 1}"
            block = layer.name.removesuffix("_depthwise")
            yield from convolution_places(f"{name}.dwconv", layer)
            yield from normalization_places(f"{name}.layernorm", model.get_layer(f"{block}_normalization"))
            yield from linear_places(f"{name}.pwconv1", model.get_layer(f"{block}_inner"))
            yield from linear_places(f"{name}.pwconv2", model.get_layer(f"{block}_outer"))
