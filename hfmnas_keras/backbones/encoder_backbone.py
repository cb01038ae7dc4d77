"""The backbone made of a pre-trained encoder: two of its outputs as taps, and a head on the higher one."""

from __future__ import annotations

from typing import Any

import keras

from hfmnas_keras.backbones.encoder_folder import EncoderDescription, find_encoder, read_encoder, vocabulary_path
from hfmnas_keras.backbones.encoder_training import add_low_rank_matrices, train_last_blocks
from hfmnas_keras.backbones.tap_pooling import pooled_tap
from hfmnas_keras.backbones.trim_padding import TrimPadding
from hfmnas_keras.backbones.vision_transformer import with_image_size
from hfmnas_keras.backbones.vision_transformer_weights import FAMILIES
from hfmnas_keras.backbones.word_topics import WordTopics
from hfmnas_keras.layers.normalization import batch_normalization
from hfmnas_keras.settings.backbones import EncoderBackboneSettings


def encoder_backbone(
    modality: str,
    input_shape: tuple[int, ...],
    num_outputs: int,
    settings: EncoderBackboneSettings,
    grid: tuple[int, int] = (4, 4),
) -> keras.Model:
    """Builds an encoder, frozen or trained in part, with two taps and a head (docs/method.md, section 3).

    Texts are cut off behind the longest one of their batch. A text's states become one vector, their mean over the
    tokens that are no padding or the first state, or a grid of means over equal parts of the text; maps are averaged
    over the bins of the grid. With `settings.word_topics` the high vector of a text goes on with `WordTopics`. What
    follows the high tap is one sub-model named `head`: the mean over the grid, batch normalisation, dropout, one linear
    layer.

    Args:
        modality: str. `"text"` or `"image"`.
        input_shape: tuple of ints. `(max_tokens,)` of a text, height, width and 3 of a picture.
        num_outputs: int. Classes or labels.
        settings: `EncoderBackboneSettings`.
        grid: pair of ints. Size of pooled maps. Defaults to `(4, 4)`.

    Returns:
        `keras.Model` from `tokens`, int64 `(batch, max_tokens)`, or `image`, float32 `(batch, height, width, 3)` in 0
        to 255, to a dict of `low` and `high`, `(batch, channels)` of a text, `(batch, *grid, channels)` of a picture,
        and `logits` `(batch, num_outputs)`; a text's too are grids with `pooling="grid"`.

    Raises:
        ValueError: when there is no such encoder, it is one of another modality, has no such tap, or reads no texts as
            long.
    """
    encoder, description = read_encoder(find_encoder(settings.encoder))
    names = tap_names(modality, settings, description)
    if modality == "text" and input_shape[0] > (description.max_tokens or 0):
        raise ValueError(
            f"The encoder {settings.encoder!r} reads texts of at most {description.max_tokens} tokens. Received: "
            f"max_tokens={input_shape[0]}."
        )
    if description.kind in FAMILIES:
        encoder = with_image_size(encoder, (input_shape[0], input_shape[1]))
    (given,) = encoder.inputs
    # Of one size, so that all shapes are known.
    inputs = keras.Input(input_shape, dtype=given.dtype, name=given.name)
    read = TrimPadding(name="trim_padding")(inputs) if modality == "text" else inputs
    encoder = _reading(encoder, inputs, read)
    pooling = settings.pooling if modality == "text" else None
    taps = {name: pooled_tap(encoder.output[tap], read, modality, pooling, grid, name) for name, tap in names.items()}
    if settings.word_topics:
        vocabulary = vocabulary_path(find_encoder(settings.encoder)).read_text(encoding="utf-8")
        topics = WordTopics(len(vocabulary.rstrip("\n").split("\n")), settings.word_topics, name="word_topics")(inputs)
        taps["high"] = keras.layers.Concatenate(name="high_with_topics")([taps["high"], topics])
    # Where all is frozen, the statistics of normalisations stay as they were trained, too.
    used = description.taps[: description.taps.index(names["high"]) + 1]
    train_last_blocks(encoder, settings.train_last, used)
    if settings.lora_rank:
        add_low_rank_matrices(encoder, settings.lora_rank)
    head = encoder_head(tuple(taps["high"].shape[1:]), num_outputs, settings.head_dropout)
    return keras.Model(inputs, {**taps, "logits": head(taps["high"])}, name=f"{modality}_backbone")


def tap_names(modality: str, settings: EncoderBackboneSettings, description: EncoderDescription) -> dict[str, str]:
    """Which outputs of an encoder are `low` and `high`.

    Raises:
        ValueError: when the encoder is one of another modality, has no such tap, or gives no sequence to pool.
    """
    if description.modality != modality:
        raise ValueError(
            f"The encoder {settings.encoder!r} is one of the modality {description.modality}. Received: {modality}. "
            "Take another one."
        )
    names = {"low": settings.low_tap or description.low_tap, "high": settings.high_tap or description.high_tap}
    for setting, tap in names.items():
        if tap not in description.taps:
            raise ValueError(
                f"`{setting}_tap` must be an output of the encoder {settings.encoder!r}: {description.taps}. "
                f"Received: {tap!r}."
            )
    if modality == "image" and settings.pooling != "mean":
        raise ValueError(f'`pooling` of a picture must be "mean". Received: {settings.pooling!r}.')
    if settings.word_topics and (modality != "text" or settings.pooling == "grid"):
        raise ValueError(
            "`word_topics` are of texts whose taps are vectors. "
            f"Received: word_topics={settings.word_topics} for {modality}, pooling={settings.pooling!r}."
        )
    return names


def _reading(encoder: Any, inputs: Any, read: Any) -> Any:
    """The encoder with the same weights, from `inputs` as its input, of which it reads `read`."""

    def call(operation: Any, *arguments: Any, **options: Any) -> Any:
        return operation(*(read if argument is inputs else argument for argument in arguments), **options)

    copy = keras.models.clone_model(encoder, input_tensors=inputs, call_function=call)
    copy.set_weights(encoder.get_weights())
    return copy


def encoder_head(input_shape: tuple[int, ...], num_outputs: int, head_dropout: float) -> keras.Sequential:
    """What follows the high tap: the mean over a grid, batch normalisation, dropout, one linear layer."""
    layers = [keras.Input(input_shape, name="head_input")]
    if len(input_shape) == 3:
        layers.append(keras.layers.GlobalAveragePooling2D(name="average"))
    layers.append(batch_normalization(affine=True, dtype=None, name="normalization"))
    layers.append(keras.layers.Dropout(head_dropout, name="dropout"))
    layers.append(keras.layers.Dense(num_outputs, dtype="float32", name="logits"))
    return keras.Sequential(layers, name="head")
