"""Vision transformers: ViT, DINOv2, and the picture towers of CLIP and SigLIP."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from keras import ops

ACTIVATIONS = ("gelu", "gelu_pytorch_tanh", "quick_gelu")
# Of PyTorch's bicubic interpolation, without antialiasing and with it.
_CUBIC, _CUBIC_ANTIALIASED = -0.75, -0.5


@dataclasses.dataclass(frozen=True)
class VisionTransformerShape:
    """What a vision transformer's layers are made of; defaults are those of ViT-S/16.

    Args:
        image_size: pair of ints. Height and width of pictures, multiples of `patch`.
        patch: int. Side of a patch.
        width, depth, heads, inner_width: ints. Channels, blocks, heads of attention, channels between the two dense
            layers of a block.
        epsilon: float. Of layer normalisation.
        activation: str. One of `ACTIVATIONS`.
        leading_tokens: int. Tokens before the patches: one of the class, which is the first, and registers.
        normalizes_first: bool. Whether there is a layer normalisation before the blocks (CLIP).
        projection: int. Width of a linear layer on the normalised class token; 0 for none (CLIP).
        mean, deviation: what pictures in 0 to 255 are standardised by, colour by colour.
    """

    image_size: tuple[int, int] = (224, 224)
    patch: int = 16
    width: int = 384
    depth: int = 12
    heads: int = 6
    inner_width: int = 1536
    epsilon: float = 1e-6
    activation: str = "gelu"
    leading_tokens: int = 1
    normalizes_first: bool = False
    projection: int = 0
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    deviation: tuple[float, ...] = (127.5, 127.5, 127.5)

    def __post_init__(self) -> None:
        for name in ("patch", "width", "depth", "heads", "inner_width"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {getattr(self, name)}.")
        if self.width % self.heads:
            raise ValueError(
                f"`width` must be a multiple of `heads`. Received: width={self.width}, heads={self.heads}."
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"`activation` must be one of {ACTIVATIONS}. Received: {self.activation!r}.")
        _check_size(self.image_size, self.patch)


def vision_transformer(shape: VisionTransformerShape) -> keras.Model:
    """Builds a vision transformer of built-in Keras layers alone, so that its `.keras` file loads without our code.

    Patches are projected, tokens put before them, and positions added; what stands before the patches has its own
    vectors, which the table of positions holds. Each block adds to its input the self-attention of its normalised
    input, then two dense layers on the normalised sum. A layer scale is part of the dense layers before it. There is no
    dropout.

    Args:
        shape: `VisionTransformerShape`.

    Returns:
        `keras.Model` from `image`, float32 `(batch, *image_size, 3)`, RGB in 0 to 255, to a dict of maps `(batch,
        height / patch, width / patch, channels)`: `layer_0` (before the blocks) to `layer_{depth}` and `normed`, the
        last one normalised; with leading tokens also vectors `(batch, channels)`: the first token's at each,
        `layer_0_class` to `normed_class`, and with a projection `projected`.

    Example:
    >>> shape = VisionTransformerShape((32, 32), patch=8, width=8, depth=1, heads=2, inner_width=16)
    >>> tuple(vision_transformer(shape)(np.zeros((1, 32, 32, 3)))["layer_1"].shape)
    (1, 4, 4, 8)

    Reference:
     - [Dosovitskiy et al., 2021](https://arxiv.org/abs/2010.11929); [Oquab et al., 2023](https://arxiv.org/abs/2304.07193)
       (DINOv2); [Darcet et al., 2024](https://arxiv.org/abs/2309.16588) (registers); [Radford et al.,
       2021](https://arxiv.org/abs/2103.00020) (CLIP); [Zhai et al., 2023](https://arxiv.org/abs/2303.15343) (SigLIP)
    """
    height, width = (side // shape.patch for side in shape.image_size)
    image = keras.Input((*shape.image_size, 3), dtype="float32", name="image")
    hidden = keras.layers.Normalization(
        mean=list(shape.mean), variance=[side**2 for side in shape.deviation], name="preprocessing"
    )(image)
    hidden = keras.layers.Conv2D(shape.width, shape.patch, strides=shape.patch, name="patches")(hidden)
    hidden = keras.layers.Reshape((height * width, shape.width), name="sequence")(hidden)
    if shape.leading_tokens:
        hidden = keras.layers.ZeroPadding1D((shape.leading_tokens, 0), name="leading_tokens")(hidden)
    # Derived from the input: indices that are constants would be baked in, and the layer lost in the file.
    places = ops.cumsum(ops.ones_like(hidden[:, :, 0], dtype="int32"), axis=1) - 1
    table = keras.layers.Embedding(shape.leading_tokens + height * width, shape.width, name="positions")
    hidden = keras.layers.Add(name="embeddings")([hidden, table(places)])
    if shape.normalizes_first:
        hidden = _normalization(shape, "first_normalization")(hidden)
    taps: dict[str, Any] = {}
    _tap(taps, "layer_0", hidden, shape, (height, width))
    for number in range(1, shape.depth + 1):
        name = f"layer_{number}"
        normed = _normalization(shape, f"{name}_attention_normalization")(hidden)
        attention = keras.layers.MultiHeadAttention(shape.heads, shape.width // shape.heads, name=f"{name}_attention")
        hidden = keras.layers.Add(name=f"{name}_attention_sum")([hidden, attention(normed, normed)])
        normed = _normalization(shape, f"{name}_normalization")(hidden)
        inner = _activated(keras.layers.Dense(shape.inner_width, name=f"{name}_inner")(normed), shape.activation)
        outer = keras.layers.Dense(shape.width, name=f"{name}_outer")(inner)
        hidden = keras.layers.Add(name=f"{name}_sum")([hidden, outer])
        _tap(taps, name, hidden, shape, (height, width))
    _tap(taps, "normed", _normalization(shape, "normalization")(hidden), shape, (height, width))
    if shape.projection:
        projection = keras.layers.Dense(shape.projection, use_bias=False, name="projection")
        taps["projected"] = projection(taps["normed_class"])
    return keras.Model(image, taps, name="vision_transformer")


def with_image_size(model: keras.Model, image_size: tuple[int, int]) -> keras.Model:
    """A vision transformer with the same weights for pictures of another size.

    Positions of patches are interpolated as the published networks' own code does: bicubic, the corners of the outer
    cells on each other; with antialiasing where there are registers, and without it elsewhere.

    Args:
        model: what `vision_transformer` made.
        image_size: pair of ints. Height and width, multiples of the patch.

    Raises:
        ValueError: when they are no multiples of it.
    """
    old_size, patch = tuple(model.input.shape[1:3]), model.get_layer("patches").strides[0]
    _check_size(image_size, patch)
    if tuple(image_size) == old_size:
        return model
    (old_height, old_width), (height, width) = ([side // patch for side in size] for size in (old_size, image_size))
    table = model.get_layer("positions").get_weights()[0]
    leading, channels = len(table) - old_height * old_width, table.shape[1]

    def resized(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name == "positions":
            config["input_dim"] = leading + height * width
        elif layer.name == "sequence":
            config["target_shape"] = (height * width, channels)
        elif isinstance(layer, keras.layers.Reshape):
            config["target_shape"] = (height, width, channels)
        return layer.__class__.from_config(config)

    image = keras.Input((*image_size, 3), dtype="float32", name=model.input.name)
    other = keras.models.clone_model(model, input_tensors=image, clone_function=resized)
    for layer in model.layers:
        weights = layer.get_weights()
        if layer.name == "positions":
            cells = table[leading:].reshape(old_height, old_width, channels)
            interpolation = _antialiased_interpolation if leading > 1 else _interpolation
            rows, columns = interpolation(old_height, height), interpolation(old_width, width)
            cells = np.einsum("ai,bj,ijc->abc", rows, columns, cells).reshape(-1, channels)
            weights = [np.concatenate([table[:leading], cells])]
        other.get_layer(layer.name).set_weights(weights)
    return other


def _check_size(image_size: Any, patch: Any) -> None:
    if len(image_size) != 2 or any(side < patch or side % patch for side in image_size):
        nearest = tuple(max(1, round(side / patch)) * patch for side in image_size)
        raise ValueError(
            f"Height and width of pictures must be multiples of the patch of {patch}. Received: {tuple(image_size)}. "
            f"Set `preparation.image_size`, for example to {nearest}."
        )


def _interpolation(old: int, new: int) -> np.ndarray:
    """Matrix `(new, old)` of weights of PyTorch's bicubic interpolation with `align_corners=False`."""
    matrix = np.zeros((new, old))
    for row in range(new):
        centre = (row + 0.5) * old / new - 0.5
        first = math.floor(centre)
        for cell in range(first - 1, first + 3):
            # Beyond its ends a side goes on as it ends.
            matrix[row, min(max(cell, 0), old - 1)] += _cubic(abs(centre - cell), _CUBIC)
    return matrix


def _antialiased_interpolation(old: int, new: int) -> np.ndarray:
    """The same of its antialiased one, whose kernel is as much wider as cells get fewer."""
    matrix = np.zeros((new, old))
    scale = max(1.0, old / new)
    for row in range(new):
        centre = (row + 0.5) * old / new
        for cell in range(max(0, int(centre - 2 * scale + 0.5)), min(old, int(centre + 2 * scale + 0.5))):
            matrix[row, cell] = _cubic(abs(cell + 0.5 - centre) / scale, _CUBIC_ANTIALIASED)
    # Beyond its ends a side has nothing.
    return matrix / matrix.sum(axis=1, keepdims=True)


def _cubic(distance: float, a: float) -> float:
    if distance <= 1:
        return (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    if distance < 2:
        return a * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return 0.0


def _tap(taps: dict[str, Any], name: str, hidden: Any, shape: Any, cells: Any) -> None:
    patches = hidden[:, shape.leading_tokens :] if shape.leading_tokens else hidden
    taps[name] = keras.layers.Reshape((*cells, shape.width), name=f"{name}_map")(patches)
    if shape.leading_tokens:
        taps[f"{name}_class"] = hidden[:, 0]


def _activated(hidden: Any, activation: Any) -> Any:
    if activation == "quick_gelu":
        return hidden * ops.sigmoid(hidden * 1.702)
    return ops.gelu(hidden, approximate=activation == "gelu_pytorch_tanh")


def _normalization(shape: Any, name: str) -> Any:
    return keras.layers.LayerNormalization(epsilon=shape.epsilon, name=name)
