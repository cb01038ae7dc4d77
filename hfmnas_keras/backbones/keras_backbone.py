"""The backbone made of any Keras model: two of its layers as taps, and a head on the higher one."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.backbones.caffe_preprocessing import CaffePreprocessing
from hfmnas_keras.backbones.encoder_backbone import encoder_head
from hfmnas_keras.backbones.given_model import default_taps, given_model, tap_of
from hfmnas_keras.backbones.standardisation import IMAGENET, standardisation
from hfmnas_keras.backbones.tap_pooling import pooled_tap
from hfmnas_keras.settings.keras_backbone import KerasBackboneSettings


def keras_backbone(
    modality: str,
    input_shape: tuple[int, ...],
    num_outputs: int,
    settings: KerasBackboneSettings,
    grid: tuple[int, int] = (4, 4),
) -> keras.Model:
    """Builds a frozen model of anybody's with two taps and a trainable head (docs/extending.md).

    Pooling is that of `pooled_tap`, the head that of `encoder_backbone`.

    Args:
        modality: str. `"text"` or `"image"`.
        input_shape: tuple of ints. `(max_tokens,)` of a text, height, width and 3 of a picture.
        num_outputs: int. Classes or labels.
        settings: `KerasBackboneSettings`.
        grid: pair of ints. Size of pooled maps. Defaults to `(4, 4)`.

    Returns:
        `keras.Model` from `tokens`, int64 `(batch, max_tokens)`, or `image`, float32 `(batch, height, width, 3)` in 0
        to 255, to a dict of `low` and `high`, each `(batch, channels)` or `(batch, *grid, channels)`, and `logits`
        `(batch, num_outputs)`.

    Raises:
        ValueError: when the model cannot be had, lacks a tap, reads other inputs, or, of texts, has no tokenizer.
    """
    if (modality == "text") != (settings.tokenizer is not None):
        raise ValueError(
            "A model of texts needs a `tokenizer`, whose token ids it was trained on, and one of pictures none. "
            f"Received: modality={modality}, tokenizer={settings.tokenizer!r}."
        )
    if modality == "text" and settings.preprocessing != "none":
        raise ValueError(f'`preprocessing` of texts must be "none". Received: {settings.preprocessing!r}.')
    given = given_model(settings.model, input_shape)
    low, high = default_taps(given)
    names = {"low": settings.low_tap or low, "high": settings.high_tap or high}
    tensors = {name: tap_of(given, f"{name}_tap", tap) for name, tap in names.items()}
    read = given.inputs if len(given.inputs) > 1 else given.inputs[0]
    encoder = keras.Model(read, tensors, name="encoder")
    encoder.trainable = False
    inputs = keras.Input(
        input_shape,
        dtype="int64" if modality == "text" else "float32",
        name="tokens" if modality == "text" else modality,
    )
    states = encoder(_arguments(encoder, inputs, modality, settings))
    taps = {name: pooled_tap(states[name], inputs, modality, settings.pooling, grid, name) for name in ("low", "high")}
    head = encoder_head(tuple(taps["high"].shape[1:]), num_outputs, settings.head_dropout)
    return keras.Model(inputs, {**taps, "logits": head(taps["high"])}, name=f"{modality}_backbone")


def _arguments(encoder: Any, inputs: Any, modality: Any, settings: Any) -> Any:
    """What the encoder is called with: of a model of texts with several inputs, each by its name."""
    hidden = inputs
    if settings.preprocessing == "caffe":
        hidden = CaffePreprocessing(name="preprocessing")(inputs)
    elif settings.preprocessing == "torch":
        hidden = standardisation(IMAGENET)(inputs)
    elif settings.preprocessing == "tf":
        hidden = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(inputs)
    arguments = []
    for given in encoder.inputs:
        argument = hidden
        if modality == "text" and len(encoder.inputs) > 1:
            argument = _of_text(given.name, inputs)
        expected = tuple(given.shape[1:])
        fits = len(expected) == len(argument.shape) - 1 and all(
            size in (None, received) for size, received in zip(expected, argument.shape[1:], strict=True)
        )
        if not fits or (modality != "text" and len(encoder.inputs) > 1):
            raise ValueError(
                f"{settings.model!r} reads {[tuple(one.shape[1:]) for one in encoder.inputs]}, None being any size. "
                f"The backbone of modality {modality} gives {tuple(inputs.shape[1:])}. Build the model for inputs of "
                "that shape, or set `preparation.image_size` or `preparation.max_tokens` to its."
            )
        arguments.append(argument if argument.dtype == given.dtype else ops.cast(argument, given.dtype))
    if len(arguments) == 1:
        return arguments[0]
    return arguments


def _of_text(name: str, tokens: Any) -> Any:
    if "mask" in name:
        return ops.cast(ops.not_equal(tokens, 0), "int32")
    if "segment" in name or "type" in name:
        return ops.zeros_like(tokens)
    return tokens
