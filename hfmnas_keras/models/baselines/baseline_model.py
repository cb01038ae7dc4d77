"""Fusion networks without a search, on the same features: what HF-MNAS is compared with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import keras

from hfmnas_keras.layers.normalization import batch_normalization
from hfmnas_keras.models.baselines.average_logits import AverageLogits
from hfmnas_keras.models.baselines.central_fusion import CentralFusion
from hfmnas_keras.models.baselines.feature_tokens import FeatureTokens
from hfmnas_keras.models.baselines.gated_multimodal_unit import GatedMultimodalUnit
from hfmnas_keras.models.baselines.multimodal_transfer import MultimodalTransfer
from hfmnas_keras.models.baselines.stacked_identity import StackedIdentity
from hfmnas_keras.models.baselines.stream import hidden_stream, logits_of, normalised
from hfmnas_keras.models.parts.taps import check_taps
from hfmnas_keras.settings.fusion import FinalModelSettings, FusionSettings
from hfmnas_keras.settings.models import PLAIN_MODELS

_MODALITIES = ("first", "second")
_Function = TypeVar("_Function", bound=Callable[..., dict[str, Any]])


def register_plain_model(name: str, description: str = "") -> Callable[[_Function], _Function]:
    """Decorator that gives a network without a search its name: a function
    `(low, high, num_outputs, shape, multi_label)` to a dict of `logits` `(batch, num_outputs)`, float32.

    `low` and `high` are the features of both modalities as lists of two Keras tensors, `shape` a `NetworkShape`. Under
    `first` and `second` the dict may hold the modalities' own logits, where each has a loss of its own.

    Args:
        name: str. A Python identifier.
        description: str. A line for people.
    """
    return PLAIN_MODELS.register(name, description)


def baseline_model(
    name: str,
    feature_shapes: Mapping[str, Sequence[int]],
    num_outputs: int,
    fusion: FusionSettings | None = None,
    final_model: FinalModelSettings | None = None,
    multi_label: bool = False,
) -> keras.Model:
    """Builds a fusion network without a search (docs/method.md, section 10).

    All read the low and the high feature of each modality. Where a paper wants one vector a modality, the two are
    joined.

    Args:
        name: str. One of `PLAIN_MODELS` of `hfmnas_keras.settings.models`, whose `descriptions` say what each does.
        feature_shapes: dict from feature name to shape without the batch.
        num_outputs: int. Classes or labels.
        fusion: `FusionSettings`, of which `dropout` is read, and the taps, which say which features are the low and the
            high one of each modality.
        final_model: `FinalModelSettings`, of which `channels` is the width of hidden layers.
        multi_label: bool. How probabilities are averaged. Defaults to `False`.

    Returns:
        `keras.Model` from a dict of features to a dict: `logits`, float32 `(batch, num_outputs)`, and for models whose
        papers train each modality with a loss of its own, `first` and `second`, the modalities' logits.

    Raises:
        ValueError: for an unknown name or missing features.
    """
    plain_model = PLAIN_MODELS[name]
    fusion = fusion or FusionSettings()
    shape = NetworkShape((final_model or FinalModelSettings()).channels, fusion.dropout)
    inputs = {tap: keras.Input(tuple(feature_shapes[tap]), name=tap) for tap in check_taps(feature_shapes, fusion)}
    low = [inputs[tap] for tap in fusion.lfbc_taps]
    high = [inputs[tap] for tap in fusion.hfbc_taps]
    outputs = plain_model(low, high, num_outputs, shape, multi_label)
    if name in _UNIMODAL:
        position = _UNIMODAL[name]
        inputs = {tap: inputs[tap] for tap in (fusion.lfbc_taps[position], fusion.hfbc_taps[position])}
    return keras.Model(list(inputs.values()), outputs, name=name)


class NetworkShape(NamedTuple):
    """Width of hidden layers, and the rate of their dropout."""

    channels: int
    dropout: float


def _unimodal(position: Any, low: Any, high: Any, num_outputs: int, shape: Any, multi_label: bool) -> Any:
    del multi_label
    hidden = hidden_stream(_joined(low, high)[position], shape.channels, shape.dropout, _MODALITIES[position])
    return {"logits": logits_of(hidden, num_outputs, shape.dropout, "logits")}


def _concatenation(low: Any, high: Any, num_outputs: int, shape: Any, multi_label: bool) -> Any:
    del multi_label
    hidden = [
        hidden_stream(feature, shape.channels, shape.dropout, name)
        for name, feature in zip(_MODALITIES, _joined(low, high), strict=True)
    ]
    joined = keras.layers.Concatenate(name="modalities")(hidden)
    return {"logits": logits_of(joined, num_outputs, shape.dropout, "logits")}


def _late_average(low: Any, high: Any, num_outputs: int, shape: Any, multi_label: bool) -> Any:
    own = _classifiers(_joined(low, high), num_outputs, shape)
    return {"logits": AverageLogits(multi_label, dtype="float32", name="logits")(list(own.values())), **own}


def _two_stream(low: Any, high: Any, num_outputs: int, shape: Any, multi_label: bool) -> Any:
    own = _classifiers(_joined(low, high), num_outputs, shape)
    activation = "sigmoid" if multi_label else "softmax"
    scores = []
    for name, logits in own.items():
        score = keras.layers.UnitNormalization(name=f"{name}_scores")(keras.layers.Activation(activation)(logits))
        scores.append(batch_normalization(affine=False, dtype="float32", name=f"{name}_standard_scores")(score))
    stacked = keras.layers.Concatenate(name="stacked_scores")(scores)
    # One training hardly gets away from random weights here: a macro F1 of .60 on the demo's dev split, so of .76.
    classifier = keras.layers.Dense(num_outputs, kernel_initializer=StackedIdentity(), dtype="float32", name="logits")
    return {"logits": classifier(stacked), **own}


def _gated_multimodal_unit(low: Any, high: Any, num_outputs: int, shape: Any, multi_label: bool) -> Any:
    del multi_label
    features = [
        normalised(feature, shape.dropout, name) for name, feature in zip(_MODALITIES, _joined(low, high), strict=True)
    ]
    fused = GatedMultimodalUnit(shape.channels, name="gmu")(features)
    fused = hidden_stream(fused, shape.channels, shape.dropout, "fused")
    return {"logits": logits_of(fused, num_outputs, shape.dropout, "logits")}


def _central_net(low: Any, high: Any, num_outputs: int, shape: Any, multi_label: bool) -> Any:
    del multi_label
    width, dropout = shape.channels, shape.dropout
    levels = []
    for level, features in (("low", low), ("high", high)):
        levels.append(
            [
                hidden_stream(feature, width, dropout, f"{name}_{level}")
                for name, feature in zip(_MODALITIES, features, strict=True)
            ]
        )
    central = CentralFusion(name="central_low")(levels[0])
    central = hidden_stream(central, width, dropout, "central")
    central = CentralFusion(name="central_high")([central, *levels[1]])
    own = {
        name: logits_of(hidden, num_outputs, dropout, f"{name}_logits")
        for name, hidden in zip(_MODALITIES, levels[1], strict=True)
    }
    return {"logits": logits_of(central, num_outputs, dropout, "logits"), **own}


def _multimodal_transfer(low: Any, high: Any, num_outputs: int, shape: Any, multi_label: bool) -> Any:
    low = MultimodalTransfer(name="low_transfer")(low)
    high = MultimodalTransfer(name="high_transfer")(high)
    own = _classifiers(_joined(low, high), num_outputs, shape)
    return {"logits": AverageLogits(multi_label, dtype="float32", name="logits")(list(own.values()))}


def _bitransformer(low: Any, high: Any, num_outputs: int, shape: Any, multi_label: bool) -> Any:
    del multi_label
    # Of each modality the low and the high feature.
    features = [feature for levels in zip(low, high, strict=True) for feature in levels]
    hidden = FeatureTokens(shape.channels, (0, 0, 1, 1), name="tokens")(features)
    hidden = _layer_normalised(hidden, "tokens")
    hidden = keras.layers.Dropout(shape.dropout, name="tokens_dropout")(hidden)
    heads = next(count for count in (8, 4, 2, 1) if shape.channels % count == 0)
    for name in ("block_1", "block_2"):
        attention = keras.layers.MultiHeadAttention(heads, shape.channels // heads, name=f"{name}_attention")
        attended = keras.layers.Dropout(shape.dropout, name=f"{name}_attended")(attention(hidden, hidden))
        hidden = _layer_normalised(keras.layers.Add(name=f"{name}_first")([hidden, attended]), f"{name}_first")
        inner = keras.layers.Dense(4 * shape.channels, activation="gelu", name=f"{name}_inner")(hidden)
        outer = keras.layers.Dense(shape.channels, name=f"{name}_outer")(inner)
        outer = keras.layers.Dropout(shape.dropout, name=f"{name}_outer_dropout")(outer)
        hidden = _layer_normalised(keras.layers.Add(name=f"{name}_second")([hidden, outer]), f"{name}_second")
    return {"logits": logits_of(hidden[:, 0], num_outputs, shape.dropout, "logits")}


def _layer_normalised(hidden: Any, name: str) -> Any:
    return keras.layers.LayerNormalization(epsilon=1e-12, name=f"{name}_norm")(hidden)


def _joined(low: Any, high: Any) -> list[Any]:
    """Both features of each modality as one vector."""
    return [
        keras.layers.Concatenate(name=f"{name}_levels")([keras.layers.Flatten()(feature) for feature in levels])
        for name, levels in zip(_MODALITIES, zip(low, high, strict=True), strict=True)
    ]


def _classifiers(features: Any, num_outputs: int, shape: Any) -> dict[str, Any]:
    """Logits of each modality alone."""
    own = {}
    for name, feature in zip(_MODALITIES, features, strict=True):
        hidden = hidden_stream(feature, shape.channels, shape.dropout, name)
        own[name] = logits_of(hidden, num_outputs, shape.dropout, f"{name}_logits")
    return own


#: Which of the two modalities a network reads that reads one alone.
_UNIMODAL = {"unimodal_first": 0, "unimodal_second": 1}

_networks: dict[str, Callable[..., dict[str, Any]]] = {
    **{name: functools.partial(_unimodal, position) for name, position in _UNIMODAL.items()},
    "concatenation": _concatenation,
    "late_average": _late_average,
    "two_stream": _two_stream,
    "gmu": _gated_multimodal_unit,
    "central_net": _central_net,
    "mmtm": _multimodal_transfer,
    "mmbt": _bitransformer,
}
for _name, _network in _networks.items():
    register_plain_model(_name)(_network)
