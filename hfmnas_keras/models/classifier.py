"""The whole classifier, from what the backbones read to probabilities and opinions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from hfmnas_keras.data.modalities import input_name
from hfmnas_keras.evidence.opinion_report import OpinionReport


def multimodal_classifier(
    fusion_network: keras.Model,
    backbones: Mapping[str, keras.Model],
    multi_label: bool,
    head_shares: Mapping[str, float] | None = None,
) -> keras.Model:
    """Puts backbones and fusion network together (docs/method.md, sections 1 and 6).

    The backbones are part of the model, weights and all: freeze or unfreeze them by their `trainable`.

    Args:
        fusion_network: model from a dict of features (`text_low`, ...; `tokens` too where it has a sequence encoder)
            to logits `(batch, classes)`.
        backbones: model by modality, from one input to a dict of `low`, `high` and `logits`.
        multi_label: bool. Sigmoid and one opinion a label, instead of softmax and one opinion.
        head_shares: dict of float by modality, what of the answer is its head's, see `OpinionReport`. Defaults to none.

    Returns:
        `keras.Model` from a dict, what the backbones read (`image`, float32, RGB, 0 to 255; `tokens`, int64; ...), to
        the dict of `OpinionReport`: `probabilities`, the modalities' beliefs and uncertainties, `conflict` and
        `uncertainty`.

    Raises:
        ValueError: when the fusion network reads a feature that no backbone makes, or of another shape.
    """
    inputs, features, logits = {}, {}, {}
    for modality, backbone in backbones.items():
        name = input_name(modality)
        source = backbone.inputs[0]
        inputs[name] = keras.Input(source.shape[1:], dtype=source.dtype, name=name)
        outputs = backbone(inputs[name])
        features[f"{modality}_low"], features[f"{modality}_high"] = outputs["low"], outputs["high"]
        logits[modality] = outputs["logits"]

    available = {**features, **{name: inputs[name] for name in ("tokens",) if name in inputs}}
    wanted = _input_shapes(fusion_network) or {name: tuple(tensor.shape[1:]) for name, tensor in available.items()}
    if "tokens" in wanted and "tokens" in available:
        # Sub-words stand after the words and are for the backbone alone.
        available["tokens"] = available["tokens"][:, : wanted["tokens"][0]]
    for name, shape in wanted.items():
        received = tuple(available[name].shape[1:]) if name in available else None
        if received is None or not _fits(received, shape):
            raise ValueError(
                f"The fusion network reads `{name}` of shape {shape}. The backbones ({', '.join(backbones)}) give it "
                f"{'none' if received is None else received}. Search and train on features of these very backbones."
            )
    fused = fusion_network({name: available[name] for name in wanted})
    outputs = OpinionReport(multi_label, head_shares, name="opinion_report")({"fusion": fused, **logits})
    return keras.Model(inputs, outputs, name="multimodal_classifier")


def _input_shapes(network: Any) -> Any:
    """Shapes of a functional model's inputs by name; nothing for another model, which picks from the dict itself."""
    return {tensor.name: tuple(tensor.shape[1:]) for tensor in getattr(network, "inputs", None) or ()}


def _fits(received: Any, expected: Any) -> Any:
    return len(received) == len(expected) and all(
        side is None or side == other for side, other in zip(expected, received, strict=True)
    )
