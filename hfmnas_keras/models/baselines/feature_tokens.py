"""The sequence that a bitransformer reads (MMBT)."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class FeatureTokens(keras.layers.Layer):
    """Lays features side by side as one sequence of tokens behind a class token.

    Position n of feature k becomes W_k x_kn + b_k + p_kn + s_m: a projection of its own, the position's vector and that
    of its segment, the modality m. The class token is a vector of its own.

    Args:
        channels: int. Width of a token.
        segments: ints. The modality of each feature, from 0.

    Call arguments:
        inputs: list of tensors `(batch, width)`, one token each, or `(batch, height, width, channels)`.

    Returns:
        Tensor `(batch, 1 + positions of all features, channels)`.

    Reference:
     - [Kiela et al., 2019, section 3](https://arxiv.org/abs/1909.02950)
    """

    def __init__(self, channels: int, segments: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels = channels
        self.segments = [int(segment) for segment in segments]

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != len(self.segments) or any(len(shape) not in (2, 4) for shape in input_shape):
            raise ValueError(
                f"`FeatureTokens` needs {len(self.segments)} vectors or maps. Received shapes: {input_shape}."
            )
        small = keras.initializers.RandomNormal(stddev=0.02)
        self.class_token = self.add_weight(shape=(self.channels,), initializer=small, name="class_token")
        self.segment_vectors = self.add_weight(
            shape=(max(self.segments) + 1, self.channels), initializer=small.clone(), name="segments"
        )
        self.positions, self.projections = [], []
        for number, shape in enumerate(input_shape, start=1):
            self.positions.append(
                self.add_weight(
                    shape=(math.prod(shape[1:-1]), self.channels), initializer=small.clone(), name=f"positions_{number}"
                )
            )
            projection = keras.layers.Dense(self.channels, dtype=self.dtype_policy, name=f"projection_{number}")
            projection.build((None, None, shape[-1]))
            self.projections.append(projection)

    def call(self, inputs: Any) -> Any:
        batch = ops.shape(inputs[0])[0]
        parts = [ops.broadcast_to(self.class_token, (batch, 1, self.channels))]
        for feature, positions, projection, segment in zip(
            inputs, self.positions, self.projections, self.segments, strict=True
        ):
            # (batch, positions, channels)
            tokens = projection(ops.reshape(feature, (-1, positions.shape[0], feature.shape[-1])))
            parts.append(tokens + positions + self.segment_vectors[segment])
        return ops.concatenate(parts, axis=1)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"channels": self.channels, "segments": self.segments})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        positions = sum(math.prod(shape[1:-1]) for shape in input_shape)
        return (input_shape[0][0], 1 + positions, self.channels)

    def multiply_accumulates(self, shapes: Any) -> int:
        return sum(
            multiply_accumulates(projection, (positions.shape[0], shape[-1]))
            for shape, positions, projection in zip(shapes, self.positions, self.projections, strict=True)
        )
