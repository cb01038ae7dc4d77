"""The mean of a text's word vectors."""

from __future__ import annotations

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class MeanWordVector(keras.layers.Layer):
    """Embeds token ids and averages over the known words (HF-MNAS, section III-D; docs/method.md, section 3).

    Neither padding, id 0, nor the out-of-vocabulary bucket, the last id, takes part: where every word of the train
    split is in the vocabulary, the bucket's vector never learns anything. A text without known words gives zeros.

    Args:
        vocabulary_size: int. Number of ids, padding and the out-of-vocabulary bucket counted.
        embedding_dim: int. Width of a word vector.
        token_dropout: float. Share of the tokens left out of the mean while training: no word alone may decide.
            Defaults to `0`.

    Call arguments:
        inputs: int tensor `(batch, max_tokens)`.
        training: bool. Whether tokens are dropped. Defaults to `False`.

    Returns:
        Tensor `(batch, embedding_dim)`.
    """

    multiply_accumulates = no_products

    def __init__(self, vocabulary_size, embedding_dim, token_dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        if vocabulary_size < 1 or embedding_dim < 1:
            raise ValueError(
                "`vocabulary_size` and `embedding_dim` must be at least 1. "
                f"Received: vocabulary_size={vocabulary_size}, embedding_dim={embedding_dim}."
            )
        if not 0 <= token_dropout < 1:
            raise ValueError(f"`token_dropout` must be in [0, 1). Received: {token_dropout}.")
        self.vocabulary_size = vocabulary_size
        self.embedding_dim = embedding_dim
        self.token_dropout = token_dropout
        if token_dropout:
            self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape):
        self.embedding = keras.layers.Embedding(
            self.vocabulary_size, self.embedding_dim, dtype=self.dtype_policy, name="embedding"
        )
        self.embedding.build(input_shape)

    def call(self, inputs, training=False):
        # (batch, max_tokens, embedding_dim)
        vectors = self.embedding(inputs)
        # Half precision could neither count nor add up a long text.
        known = ops.logical_and(ops.not_equal(inputs, 0), ops.not_equal(inputs, self.vocabulary_size - 1))
        known = ops.cast(known, "float32")
        if training and self.token_dropout:
            kept = keras.random.uniform(ops.shape(known), seed=self.seed_generator) >= self.token_dropout
            known = known * ops.cast(kept, "float32")
        total = ops.sum(ops.cast(vectors, "float32") * known[..., None], axis=1)
        return ops.cast(total / ops.maximum(ops.sum(known, axis=1, keepdims=True), 1.0), self.compute_dtype)

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "vocabulary_size": self.vocabulary_size,
                "embedding_dim": self.embedding_dim,
                "token_dropout": self.token_dropout,
            }
        )
        return config

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.embedding_dim)

    def compute_output_spec(self, inputs, training=False):
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)
