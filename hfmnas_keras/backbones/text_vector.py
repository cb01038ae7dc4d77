"""A text as the sum of its word vectors, rare words weighing more."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products

# Adam moves a number by its rate whatever its size, so vectors that are multiplied by this learn so much faster than
# the rest of a network: each of them is in few texts.
SCALE = 5.0


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class TextVector(keras.layers.Layer):
    """Embeds token ids and adds them up by their rarity (HF-MNAS, section III-D; docs/method.md, section 3).

    The sum is `5 sum(w_i e_i) / sqrt(sum(w_i^2))` over the tokens i of a row, e_i being their vectors and w_i their
    inverse document frequencies, as tf-idf weighs words: where the paper takes the mean, "the" counts as much as
    "vampire". `adapt_rows` sets the w_i; before, all are 1. Padding, id 0, the out-of-vocabulary bucket, the last id,
    and ids in fewer than `min_rows` of the rows of `adapt_rows` weigh nothing: what a network was not fitted on is
    unknown to it. A text without known tokens gives zeros.

    Args:
        vocabulary_size: int. Number of ids, padding and the out-of-vocabulary bucket counted.
        embedding_dim: int. Width of a vector.
        token_dropout: float. Share of the tokens left out while training: no word alone may decide. The others then
            weigh more, so that the sum keeps its size. Defaults to `0`.
        columns: pair of ints or None. First and last (exclusive) column of the inputs to read. `None` (default): all.
        min_rows: int. Rows that a token must be in to count. Defaults to `1`.

    Call arguments:
        inputs: int tensor `(batch, max_tokens)`.
        training: bool. Whether tokens are dropped. Defaults to `False`.

    Returns:
        Tensor `(batch, embedding_dim)`.
    """

    multiply_accumulates = no_products

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: Any,
        token_dropout: float = 0.0,
        columns: Any = None,
        min_rows: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if vocabulary_size < 1 or embedding_dim < 1:
            raise ValueError(
                "`vocabulary_size` and `embedding_dim` must be at least 1. "
                f"Received: vocabulary_size={vocabulary_size}, embedding_dim={embedding_dim}."
            )
        if not 0 <= token_dropout < 1:
            raise ValueError(f"`token_dropout` must be in [0, 1). Received: {token_dropout}.")
        if columns is not None and not 0 <= columns[0] < columns[1]:
            raise ValueError(f"`columns` must be a first and a later last column. Received: {columns}.")
        self.vocabulary_size = vocabulary_size
        self.embedding_dim = embedding_dim
        self.token_dropout = token_dropout
        self.columns = None if columns is None else tuple(columns)
        self.min_rows = min_rows
        if token_dropout:
            self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: Any) -> None:
        self.embedding = keras.layers.Embedding(
            self.vocabulary_size,
            self.embedding_dim,
            # Keras's own range, once multiplied.
            embeddings_initializer=keras.initializers.RandomUniform(-0.05 / SCALE, 0.05 / SCALE),
            dtype=self.dtype_policy,
            name="embedding",
        )
        self.embedding.build(input_shape)
        # Half precision could neither count nor add up a long text.
        self.rarity = self.add_weight(
            shape=(self.vocabulary_size,), initializer="ones", trainable=False, dtype="float32", name="rarity"
        )

    def adapt_rows(self, tokens: np.ndarray) -> None:
        """Sets the weight of each id from the rows that the network is to be fitted on.

        It is scikit-learn's smooth inverse document frequency: `log((1 + rows) / (1 + rows with the id)) + 1`.

        Args:
            tokens: int array `(rows, max_tokens)`, all columns of the inputs.
        """
        tokens = np.asarray(tokens)[:, self._read_columns()]
        # Each id once a row.
        ordered = np.sort(tokens, axis=1)
        is_first = np.concatenate([np.ones_like(ordered[:, :1], bool), ordered[:, 1:] != ordered[:, :-1]], axis=1)
        rows_with = np.bincount(ordered[is_first], minlength=self.vocabulary_size)
        rarity = np.log((1 + len(tokens)) / (1 + rows_with)) + 1
        self.rarity.assign(np.where(rows_with >= self.min_rows, rarity, 0.0))

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        tokens = inputs[:, self._read_columns()]
        # (batch, max_tokens, embedding_dim)
        vectors = self.embedding(tokens)
        known = ops.logical_and(ops.not_equal(tokens, 0), ops.not_equal(tokens, self.vocabulary_size - 1))
        weights = ops.take(ops.cast(self.rarity, "float32"), tokens) * ops.cast(known, "float32")
        size = ops.sqrt(ops.sum(ops.square(weights), axis=1, keepdims=True))
        if training and self.token_dropout:
            kept = keras.random.uniform(ops.shape(weights), seed=self.seed_generator) >= self.token_dropout
            weights = weights * ops.cast(kept, "float32") / (1.0 - self.token_dropout)
        total = ops.sum(ops.cast(vectors, "float32") * weights[..., None], axis=1)
        # Weights are 0 or above 1.
        return ops.cast(SCALE * total / ops.maximum(size, 1.0), self.compute_dtype)

    def _read_columns(self) -> slice:
        return slice(None) if self.columns is None else slice(*self.columns)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "vocabulary_size": self.vocabulary_size,
                "embedding_dim": self.embedding_dim,
                "token_dropout": self.token_dropout,
                "columns": self.columns,
                "min_rows": self.min_rows,
            }
        )
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.embedding_dim)

    def compute_output_spec(self, inputs: Any, training: bool | None = False) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)
