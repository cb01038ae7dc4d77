"""The BERT family: BERT, MiniLM, DistilBERT, RoBERTa and whatever else shares their encoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from hfmnas_keras.backbones.tensor_places import (
    TensorPlace,
    einsum_places,
    fill_places,
    linear_places,
    normalization_places,
)

# What BERT and DistilBERT call the parts of a block: query, key, value, output, its normalisation, the two dense layers
# and their normalisation. Older files call scale and offset of a normalisation gamma and beta.
_PARTS = {
    "bert": (
        "encoder.layer.{}.",
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "attention.output.LayerNorm",
        "intermediate.dense",
        "output.dense",
        "output.LayerNorm",
    ),
    "distilbert": (
        "transformer.layer.{}.",
        "attention.q_lin",
        "attention.k_lin",
        "attention.v_lin",
        "attention.out_lin",
        "sa_layer_norm",
        "ffn.lin1",
        "ffn.lin2",
        "output_layer_norm",
    ),
}
# RoBERTa calls them as BERT does. Its first id is `<s>` and its second `<pad>`, and positions begin behind its padding.
_PARTS["roberta"] = _PARTS["bert"]
_ROBERTA_PADDING = 1
_WORDS = "embeddings.word_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"
_SEGMENTS = "embeddings.token_type_embeddings.weight"
# Heads of the training tasks, and a constant that older files hold.
_LEFT_OUT = ("pooler.", "cls.", "lm_head.", "vocab_", "classifier.", "pre_classifier.", "embeddings.position_ids")


@dataclasses.dataclass(frozen=True)
class BertShape:
    """What a BERT encoder's layers are made of; defaults are those of all-MiniLM-L6-v2."""

    vocabulary_size: int = 30522
    width: int = 384
    depth: int = 6
    heads: int = 12
    inner_width: int = 1536
    max_positions: int = 512
    epsilon: float = 1e-12

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, least = getattr(self, field.name), 0 if field.name == "epsilon" else 1
            if value < least:
                raise ValueError(f"`{field.name}` must be at least {least}. Received: {value}.")
        if self.width % self.heads:
            raise ValueError(
                f"`width` must be a multiple of `heads`. Received: width={self.width}, heads={self.heads}."
            )


def bert_encoder(shape: BertShape) -> keras.Model:
    """Builds a BERT encoder of built-in Keras layers alone, so that its `.keras` file loads without any of our code.

    Words and positions are embedded, added and normalised; each block is self-attention over the tokens that are no
    padding and two dense layers with the exact gelu between them, each followed by the sum with its input and layer
    normalisation. Every token belongs to the first segment, whose vector is part of the positions' ones. There is no
    dropout.

    Args:
        shape: `BertShape`.

    Returns:
        `keras.Model` from `tokens`, int64 `(batch, length)` with any length up to `max_positions`, 0 being padding, to
        a dict of `layer_0` (the embeddings) to `layer_{depth}`, each `(batch, length, width)`.

    Example:
    >>> model = bert_encoder(BertShape(vocabulary_size=40, width=8, depth=2, heads=2, inner_width=16))
    >>> tuple(model(np.ones((1, 5), "int64"))["layer_2"].shape)
    (1, 5, 8)

    Reference:
     - [Devlin et al., 2019](https://arxiv.org/abs/1810.04805); [Wang et al., 2020](https://arxiv.org/abs/2002.10957)
       (MiniLM); [Sanh et al., 2019](https://arxiv.org/abs/1910.01108) (DistilBERT); [Liu et al.,
       2019](https://arxiv.org/abs/1907.11692) (RoBERTa)
    """
    tokens = keras.Input((None,), dtype="int64", name="tokens")
    # Derived from the input: indices that are constants would be baked in, and the layer lost in the file.
    places = ops.cumsum(ops.ones_like(tokens), axis=1) - 1
    hidden = keras.layers.Embedding(shape.vocabulary_size, shape.width, name="words")(tokens)
    position = keras.layers.Embedding(shape.max_positions, shape.width, name="positions")(places)
    hidden = keras.layers.Add(name="embeddings")([hidden, position])
    hidden = _normalization(shape, "normalization")(hidden)
    taps = {"layer_0": hidden}
    # (batch, 1, length): every token may look at those that are no padding.
    mask = ops.expand_dims(ops.not_equal(tokens, 0), axis=1)
    for number in range(1, shape.depth + 1):
        attention = keras.layers.MultiHeadAttention(
            shape.heads, shape.width // shape.heads, name=f"layer_{number}_attention"
        )
        attended = attention(hidden, hidden, attention_mask=mask)
        hidden = keras.layers.Add(name=f"layer_{number}_attention_sum")([hidden, attended])
        hidden = _normalization(shape, f"layer_{number}_attention_normalization")(hidden)
        # Keras's gelu is the exact one by default.
        inner = keras.layers.Dense(shape.inner_width, activation="gelu", name=f"layer_{number}_inner")(hidden)
        outer = keras.layers.Dense(shape.width, name=f"layer_{number}_outer")(inner)
        hidden = keras.layers.Add(name=f"layer_{number}_sum")([hidden, outer])
        hidden = _normalization(shape, f"layer_{number}_normalization")(hidden)
        taps[f"layer_{number}"] = hidden
    return keras.Model(tokens, taps, name="bert_encoder")


def bert_from_tensors(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> keras.Model:
    """A `bert_encoder` with the weights of a Hugging Face model.

    Sizes are read off the tensors. The heads of the model's training tasks, its pooler among them, are left out.
    RoBERTa's first two ids change places, so that 0 is padding here too.

    Args:
        config: the model's `config.json`, for what no tensor tells.
        tensors: the model's tensors by name, BERT's, DistilBERT's or RoBERTa's.

    Raises:
        ValueError: when the model is of another family, computes something else than `bert_encoder`, or lacks tensors.
    """
    family = config.get("model_type")
    if family not in _PARTS:
        raise ValueError(f"`model_type` in config.json must be one of {', '.join(_PARTS)}. Received: {family!r}.")
    activation = config.get("hidden_act", config.get("activation"))
    if activation != "gelu":
        raise ValueError(f"The activation in config.json must be the exact 'gelu'. Received: {activation!r}.")
    positions = config.get("position_embedding_type", "absolute")
    if positions != "absolute" or config.get("is_decoder"):
        raise ValueError(
            "Only encoders with absolute positions are known. Received: position_embedding_type="
            f"{positions!r}, is_decoder={config.get('is_decoder')!r}."
        )
    tensors = _plain_names(family, tensors)
    model = bert_encoder(_shape(family, config, tensors))
    places = list(_places(family, model))
    cure = "Take a folder whose config.json and model.safetensors belong to one model."
    fill_places(model.name, places, tensors, cure)
    return model


def _plain_names(family: Any, tensors: Any) -> Any:
    """Without the prefix, tensors that have no place, and the vectors of other segments than the first."""
    prefix = f"{family}." if f"{family}.{_WORDS}" in tensors else ""
    plain = {}
    for name, values in tensors.items():
        name = name.removeprefix(prefix)
        if not name.startswith(_LEFT_OUT):
            plain[name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")] = (
                values
            )
    segments = plain.pop(_SEGMENTS, None)
    if segments is not None and _POSITIONS in plain:
        if segments.ndim != 2 or segments.shape[1:] != plain[_POSITIONS].shape[1:]:
            raise ValueError(
                f"{_SEGMENTS} has shape {segments.shape}, {_POSITIONS} {plain[_POSITIONS].shape}. "
                "Expected equal widths."
            )
        plain[_POSITIONS] = plain[_POSITIONS] + segments[0]
    if family == "roberta" and _POSITIONS in plain and _WORDS in plain:
        plain[_POSITIONS] = plain[_POSITIONS][_ROBERTA_PADDING + 1 :]
        plain[_WORDS] = np.concatenate([plain[_WORDS][1::-1], plain[_WORDS][2:]])
    return plain


def _shape(family: Any, config: Any, tensors: Any) -> Any:
    inner = f"{_PARTS[family][0].format(0)}{_PARTS[family][6]}.weight"
    for name in (_WORDS, _POSITIONS, inner):
        if name not in tensors or tensors[name].ndim != 2 or not tensors[name].size:
            received = tensors[name].shape if name in tensors else "no such tensor"
            raise ValueError(f"A {family} model has a matrix {name}. Received: {received}.")
    depth = 0
    while any(name.startswith(_PARTS[family][0].format(depth)) for name in tensors):
        depth += 1
    heads, epsilon = config.get("num_attention_heads", config.get("n_heads")), config.get("layer_norm_eps", 1e-12)
    if type(heads) is not int or type(epsilon) not in (int, float):
        raise ValueError(
            "The number of heads in config.json must be an int and `layer_norm_eps` a number. Received: "
            f"{heads!r}, {epsilon!r}."
        )
    padding = _ROBERTA_PADDING if family == "roberta" else 0
    if config.get("pad_token_id", padding) != padding:
        raise ValueError(f"`pad_token_id` in config.json must be {padding}. Received: {config['pad_token_id']!r}.")
    vocabulary_size, width = tensors[_WORDS].shape
    inner_width, max_positions = tensors[inner].shape[0], tensors[_POSITIONS].shape[0]
    return BertShape(vocabulary_size, width, depth, heads, inner_width, max_positions, epsilon)


def _places(family: Any, model: keras.Model) -> Iterator[TensorPlace]:
    block, query, key, value, output, attention_normalization, inner, outer, normalization = _PARTS[family]
    yield TensorPlace(_WORDS, model.get_layer("words").embeddings)
    yield TensorPlace(_POSITIONS, model.get_layer("positions").embeddings)
    yield from normalization_places("embeddings.LayerNorm", model.get_layer("normalization"))
    for number in range(1, len(model.output)):
        prefix, layer = block.format(number - 1), f"layer_{number}"
        attention = model.get_layer(f"{layer}_attention")
        for name, dense in (
            (query, attention.query_dense),
            (key, attention.key_dense),
            (value, attention.value_dense),
            (output, attention.output_dense),
        ):
            yield from einsum_places(prefix + name, dense)
        yield from normalization_places(
            prefix + attention_normalization, model.get_layer(f"{layer}_attention_normalization")
        )
        yield from linear_places(prefix + inner, model.get_layer(f"{layer}_inner"))
        yield from linear_places(prefix + outer, model.get_layer(f"{layer}_outer"))
        yield from normalization_places(prefix + normalization, model.get_layer(f"{layer}_normalization"))


def _normalization(shape: Any, name: str) -> Any:
    return keras.layers.LayerNormalization(epsilon=shape.epsilon, name=name)
