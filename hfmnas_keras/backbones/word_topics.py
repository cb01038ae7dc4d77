"""What a text is about by the words it has: latent semantic analysis of its tokens."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from hfmnas_keras.cost.layer_rules import no_products

#: Standard deviation of a topic over the rows of `adapt_rows`: about that of a pre-trained encoder's states.
SPREAD = 0.1
# Rows that the topics are taken from, at most, evenly spaced: a dense bag of 4,000 rows takes some 200 MB.
_MOST_ROWS = 4000
# A token of one row alone says nothing of others.
_LEAST_ROWS = 2
# Of the randomised decomposition: directions more than asked for, and how often they are multiplied.
_MORE_DIRECTIONS, _ITERATIONS = 16, 4


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class WordTopics(keras.layers.Layer):
    """Projects the tf-idf of token ids onto the directions in which the rows of a train split differ most.

    A text's id v, c times in it, weighs `(1 + log c) idf_v`, with scikit-learn's smooth `idf`; the weights of a text
    have the length 1. `adapt_rows` takes the leading right singular vectors of these rows (Deerwester et al., 1990; by
    the randomised iteration of Halko et al., 2011), and shifts and scales each topic to the mean 0 and the standard
    deviation `SPREAD`. No label is seen. Padding, id 0, and ids in one row alone weigh nothing; topics that the rows do
    not have, and all of them before `adapt_rows`, are zero. See docs/method.md, section 3.

    Args:
        vocabulary_size: int. Number of ids, padding counted.
        topics: int. Width of the result. Defaults to `128`.

    Call arguments:
        inputs: int tensor `(batch, max_tokens)`.

    Returns:
        Tensor `(batch, topics)`.

    Raises:
        ValueError: when a size is below 1.
    """

    multiply_accumulates = no_products

    def __init__(self, vocabulary_size: int, topics: int = 128, **kwargs: Any):
        super().__init__(**kwargs)
        if vocabulary_size < 1 or topics < 1:
            raise ValueError(
                "`vocabulary_size` and `topics` must be at least 1. "
                f"Received: vocabulary_size={vocabulary_size}, topics={topics}."
            )
        self.vocabulary_size = vocabulary_size
        self.topics = topics

    def build(self, input_shape: Any) -> None:
        def zeros(shape: tuple[int, ...], name: str) -> Any:
            # Half precision could not add up a long text.
            return self.add_weight(shape=shape, initializer="zeros", trainable=False, dtype="float32", name=name)

        self.rarity = zeros((self.vocabulary_size,), "rarity")
        self.directions = zeros((self.vocabulary_size, self.topics), "directions")
        self.offset = zeros((self.topics,), "offset")

    def adapt_rows(self, tokens: np.ndarray) -> None:
        """Finds the topics of rows.

        Args:
            tokens: int array `(rows, max_tokens)`.
        """
        tokens = np.asarray(tokens)
        rows_with = np.zeros(self.vocabulary_size, "int64")
        for row in tokens:
            rows_with[np.unique(row)] += 1
        rows_with[0] = 0
        known = np.flatnonzero(rows_with >= _LEAST_ROWS)
        rarity = np.zeros(self.vocabulary_size, "float32")
        rarity[known] = np.log((1 + len(tokens)) / (1 + rows_with[known])) + 1
        directions = np.zeros((self.vocabulary_size, self.topics), "float32")
        offset = np.zeros(self.topics, "float32")
        if len(known):
            step = -(-len(tokens) // _MOST_ROWS)
            bags = _bags(tokens[::step], known, rarity)
            found = _leading_directions(bags, self.topics)
            topics = bags @ found
            deviation = topics.std(axis=0)
            # What does not vary is rounding.
            is_topic = deviation > 1e-4
            scale = np.where(is_topic, SPREAD / np.maximum(deviation, 1e-4), 0.0)
            directions[known, : found.shape[1]] = found * scale
            offset[: found.shape[1]] = topics.mean(axis=0) * scale
        self.rarity.assign(rarity)
        self.directions.assign(directions)
        self.offset.assign(offset)

    def call(self, inputs: Any) -> Any:
        counts = ops.sum(ops.cast(inputs[:, :, None] == inputs[:, None, :], "float32"), axis=2)
        # A token that is there c times stands for a c-th of its id's weight each time.
        weights = (1.0 + ops.log(counts)) * ops.take(ops.cast(self.rarity, "float32"), inputs)
        length = ops.sqrt(ops.sum(ops.square(weights) / counts, axis=1, keepdims=True))
        shares = weights / counts / ops.maximum(length, 1e-6)
        vectors = ops.take(ops.cast(self.directions, "float32"), inputs, axis=0)
        return ops.cast(ops.sum(vectors * shares[..., None], axis=1) - self.offset, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size, "topics": self.topics}

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.topics)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.compute_dtype)


def _bags(tokens: np.ndarray, known: np.ndarray, rarity: np.ndarray) -> np.ndarray:
    """The tf-idf of rows, `(rows, known ids)`, each of the length 1 or zero."""
    bags = np.zeros((len(tokens), len(known)), "float32")
    place = np.full(len(rarity), -1)
    place[known] = np.arange(len(known))
    for bag, row in zip(bags, tokens, strict=True):
        ids, counts = np.unique(row, return_counts=True)
        is_known = place[ids] >= 0
        bag[place[ids[is_known]]] = (1 + np.log(counts[is_known])) * rarity[ids[is_known]]
        bag /= max(np.linalg.norm(bag), 1e-6)
    return bags


def _leading_directions(rows: np.ndarray, number: int) -> np.ndarray:
    """The leading right singular vectors of a matrix as columns, `(columns of it, number of them or fewer)`."""
    number = min(number, *rows.shape)
    width = min(number + _MORE_DIRECTIONS, *rows.shape)
    start = np.random.default_rng(0).standard_normal((rows.shape[1], width)).astype("float32")
    basis, _ = np.linalg.qr(rows @ start)
    for _ in range(_ITERATIONS):
        basis, _ = np.linalg.qr(rows @ (rows.T @ basis))
    _, _, directions = np.linalg.svd(basis.T @ rows, full_matrices=False)
    directions = directions[:number].T
    # Which of the two signs is left open: the largest entry is to be positive.
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, np.arange(directions.shape[1])])
