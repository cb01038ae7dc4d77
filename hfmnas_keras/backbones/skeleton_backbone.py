"""The backbone of skeletons: the co-occurrence network with two taps and a head."""

from __future__ import annotations

import keras

from hfmnas_keras.backbones.adaptive_max_pool import AdaptiveMaxPool
from hfmnas_keras.backbones.cooccurrence_network import CooccurrenceNetwork
from hfmnas_keras.backbones.trunk_weights import load_trunk_weights
from hfmnas_keras.settings.backbones import SkeletonBackboneSettings


def skeleton_backbone(
    input_shape: tuple[int, int, int, int],
    num_outputs: int,
    settings: SkeletonBackboneSettings | None = None,
    grid: tuple[int, int] = (8, 1),
) -> keras.Model:
    """Builds the co-occurrence network with two taps and a head on the high one (docs/method.md, section 3).

    Args:
        input_shape: frames, bodies, joints and coordinates, for example `(32, 2, 25, 3)`.
        num_outputs: int. Classes or labels.
        settings: `SkeletonBackboneSettings`. Defaults to the published network.
        grid: pair of ints. Size of pooled maps. Defaults to `(8, 1)`.

    Returns:
        `keras.Model` from `skeleton`, float32 `(batch, *input_shape)`, centred and resampled, to a dict of `low` and
        `high`, maps `(batch, *grid, channels)` or vectors `(batch, channels)`, and `logits` `(batch, num_outputs)`.

    Raises:
        ValueError: for another input shape, or trunk weights that do not fit.
    """
    settings = settings or SkeletonBackboneSettings()
    skeleton = keras.Input(tuple(input_shape), dtype="float32", name="skeleton")
    network = CooccurrenceNetwork(settings.width, settings.dropout, trainable=settings.train_trunk, name="trunk")
    taps = network(skeleton)
    low, high = (
        taps[tap] if len(taps[tap].shape) == 2 else AdaptiveMaxPool(grid, name=f"{name}_pool")(taps[tap])
        for name, tap in (("low", settings.low_tap), ("high", settings.high_tap))
    )
    layers = [keras.Input(tuple(high.shape[1:]), name="head_input")]
    if len(high.shape) == 4:
        layers.append(keras.layers.Flatten(name="flatten"))
    layers.append(keras.layers.Dropout(settings.head_dropout, name="dropout"))
    layers.append(keras.layers.Dense(num_outputs, dtype="float32", name="logits"))
    head = keras.Sequential(layers, name="head")
    backbone = keras.Model(skeleton, {"low": low, "high": high, "logits": head(high)}, name="skeleton_backbone")
    if settings.trunk_weights is not None:
        load_trunk_weights(backbone, settings.trunk_weights)
    return backbone
