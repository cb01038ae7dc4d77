"""How rows of one modality travel: as raw features, after Transform, into a backbone, in a request."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.decoded_rows import DecodedRows

# What a split may take in memory when its rows are decoded once; above it they are decoded again for each batch.
LARGEST_DECODED_BYTES = 2 << 30


class Modality(abc.ABC):
    """One modality. `hfmnas_keras.data.modalities.MODALITIES` lists all there are.

    | stage | what there is of it |
    | --- | --- |
    | raw example | a feature with the modality's name, of the form `example_feature` |
    | Transform | a feature `input_name`, small enough to be kept in memory for a whole split |
    | backbone, classifier | an input `input_name`: what `decode` makes of that feature |
    | `serve_json` | an argument `argument`, of the form `request_spec` |

    Args:
        name: str. Also in the names of features (`image_low`) and outputs (`image_belief`).
        input_name: str.
        argument: str.
    """

    def __init__(self, name: str, input_name: str, argument: str):
        self.name = name
        self.input_name = input_name
        self.argument = argument

    #: How `tf.io.parse_example` reads the raw feature, where the schema leaves it open.
    example_feature: tf.io.FixedLenFeature | tf.io.VarLenFeature
    #: Form of the argument of `serve_json`.
    request_spec: tf.TensorSpec

    @abc.abstractmethod
    def transformed_feature(self, first: tf.train.Feature) -> tf.io.FixedLenFeature:
        """How to read the transformed feature, by the look of it in one example."""

    def of_transformed(self, features: Mapping[str, Any]) -> Any:
        """The modality's own of the features that Transform made, as `decode` takes it; arrays or tensors."""
        return features[self.input_name]

    @abc.abstractmethod
    def decode(self, transformed: tf.Tensor) -> tf.Tensor:
        """The rows as the backbone reads them, but for a cast to its input's type.

        Args:
            transformed: tensor `(batch, ...)`, the transformed feature.
        """

    @abc.abstractmethod
    def blank(self, shape: Sequence[int]) -> tf.Tensor:
        """One transformed row of nothing, which stands where a request's row cannot be used.

        Args:
            shape: sequence of int. Of one row of the backbone's input.
        """

    def bounded(self, raw: Any) -> Any:
        """What Transform's graph may be given of a request: nothing instead of what would fill the memory.

        Args:
            raw: as `example_feature` parses it.
        """
        return raw

    def is_absent(self, raw: Any, transformed: tf.Tensor) -> tf.Tensor | None:
        """Which rows of a request have nothing of this modality, bool `(batch,)`.

        `None` (default) where a row that lacks it cannot be told from a faulty one: it is an error then.

        Args:
            raw: as `example_feature` parses it.
            transformed: what `of_transformed` makes of it.
        """
        return None

    def lacking(self, transformed: np.ndarray) -> np.ndarray:
        """Which rows of a split have nothing of this modality, bool `(rows,)`; none (default) where none may.

        Args:
            transformed: array `(rows, ...)`, as `of_transformed` makes it. No row of it is faulty.
        """
        return np.zeros(len(transformed), bool)

    def errors(self, raw: Any, transformed: tf.Tensor) -> tf.Tensor:
        """Why rows of a request cannot be used, for a person; empty strings where they can.

        Args:
            raw: as `example_feature` parses it.
            transformed: tensor `(batch, ...)`, what Transform's graph made of it.

        Returns:
            String tensor `(batch,)`.
        """
        return tf.fill(tf.shape(transformed)[:1], "")

    def as_raw(self, values: Any, spec: tf.io.FixedLenFeature | tf.io.VarLenFeature) -> Any:
        """What `tf.io.parse_example` would return by `spec`, from what it returned by `example_feature`.

        Args:
            values: tensor of shape `(batch,)`, or, by a `tf.io.VarLenFeature`, `tf.SparseTensor` `(batch, values)`.
            spec: how the schema declares the raw feature.
        """
        if isinstance(values, tf.SparseTensor):
            if isinstance(spec, tf.io.VarLenFeature):
                return values
            return tf.reshape(tf.sparse.to_dense(values), [-1, *spec.shape])
        if isinstance(spec, tf.io.FixedLenFeature):
            return tf.reshape(values, [-1, *spec.shape])
        rows = tf.range(tf.shape(values, out_type=tf.int64)[0])
        shape = tf.stack([tf.size(values, tf.int64), tf.constant(1, tf.int64)])
        return tf.SparseTensor(tf.stack([rows, tf.zeros_like(rows)], axis=1), values, shape)

    def of_request(self, argument: tf.Tensor) -> Any:
        """The argument of `serve_json` as `example_feature` would have parsed it."""
        return argument

    def rows(self, transformed: np.ndarray) -> np.ndarray | DecodedRows:
        """The rows of a split as a backbone reads them, without more memory than they may take.

        Rows that lack the modality have anything.

        Args:
            transformed: array `(rows, ...)` of the transformed feature.

        Returns:
            Array, or `DecodedRows`, which gives arrays when it is indexed by row numbers.
        """
        rows = DecodedRows(self._with_some(transformed), self.decode)
        return rows[:] if rows.nbytes <= LARGEST_DECODED_BYTES else rows

    def _with_some(self, transformed: np.ndarray) -> np.ndarray:
        """The first row that has the modality in the place of those that lack it, which nobody looks at."""
        lacking = self.lacking(transformed)
        if not lacking.any() or lacking.all():
            return transformed
        changed = transformed.copy()
        changed[lacking] = transformed[int(np.argmin(lacking))]
        return changed
