"""The Bi-LSTM beside the fused features (HF-MNAS, section III-F)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.layers.normalization import layer_normalization


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class SequenceEncoder(keras.layers.Layer):
    """The last states of a bidirectional LSTM over tokens, or over a sequence of vectors, layer-normalised.

    Last states are small: as they come they are a two-hundredth of the logits of the classifier that reads them beside
    the fused features. Token id 0 is padding and the last id is all unknown words; both are skipped, as the text
    backbone does. A row without known words gives the offset of the normalisation.

    Args:
        channels: int. Width of the output, half of it a direction; even.
        vocabulary_size: int. Number of token ids, padding and the unknown counted; the layer then has an embedding, of
            width `channels`. `None` (default): the inputs are vectors already.

    Call arguments:
        inputs: ints `(batch, steps)` with a vocabulary, otherwise floats `(batch, steps, any width)`.

    Returns:
        Tensor of shape `(batch, channels)`.

    Reference:
     - [Long et al., 2025, Fig. 7]; docs/method.md, section 6
    """

    def __init__(self, channels: int, vocabulary_size: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if channels < 2 or channels % 2:
            raise ValueError(f"`channels` must be even, one half a direction. Received: {channels}.")
        if vocabulary_size is not None and vocabulary_size < 2:
            raise ValueError(
                f"`vocabulary_size` counts the padding and at least one word. Received: {vocabulary_size}."
            )
        self.channels = channels
        self.vocabulary_size = vocabulary_size

    def build(self, input_shape: Any) -> None:
        sequence_shape = tuple(input_shape)
        if len(sequence_shape) != (3 if self.vocabulary_size is None else 2):
            expected = "(batch, steps, any)" if self.vocabulary_size is None else "(batch, steps)"
            raise ValueError(f"`SequenceEncoder` needs an input of shape {expected}. Received: {sequence_shape}.")
        if self.vocabulary_size is not None:
            self.embedding = keras.layers.Embedding(
                self.vocabulary_size, self.channels, dtype=self.dtype_policy, name="embedding"
            )
            self.embedding.build(sequence_shape)
            sequence_shape = (*sequence_shape, self.channels)
        # The fused GPU kernel fails on rows without any token.
        self.encoder = keras.layers.Bidirectional(
            keras.layers.LSTM(self.channels // 2, use_cudnn=False, dtype=self.dtype_policy, name="lstm"),
            dtype=self.dtype_policy,
            name="encoder",
        )
        self.encoder.build(sequence_shape)
        self.norm = layer_normalization(affine=True, dtype=self.dtype_policy, name="norm")
        self.norm.build((None, self.channels))

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        if self.vocabulary_size is None:
            return self.norm(self.encoder(inputs, training=training))
        known = ops.logical_and(ops.not_equal(inputs, 0), ops.not_equal(inputs, self.vocabulary_size - 1))
        return self.norm(self.encoder(self.embedding(inputs), mask=known, training=training))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"channels": self.channels, "vocabulary_size": self.vocabulary_size})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.channels)

    def multiply_accumulates(self, shape: Any) -> int:
        inputs = self.channels if self.vocabulary_size is not None else shape[-1]
        units = self.channels // 2
        # Two directions; four gates, each a matrix for the input and one for the state. Padding is computed, too.
        return 2 * shape[0] * 4 * units * (inputs + units)
