"""Rows whose pictures are decoded while a model trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from hfmnas_keras.data.modalities import MODALITIES
from hfmnas_keras.data.prefetched import prefetched
from hfmnas_keras.data.transformed_examples import TransformedExamples


class EncodedRows:
    """Batches of raw inputs, decoded ahead of the step that reads them.

    Args:
        rows: `TransformedExamples`.
        modalities: sequence of str. The ones to read.

    Raises:
        ValueError: when a modality is missing, or a row lacks one.
    """

    def __init__(self, rows: TransformedExamples, modalities: Sequence[str]):
        if missing := [name for name in modalities if name not in rows.columns]:
            raise ValueError(f"The rows have no {missing}. Received: {sorted(rows.columns)}.")
        for name, lacking in rows.lacking().items():
            if name in modalities and lacking.any():
                raise ValueError(
                    f"{int(lacking.sum())} rows have no {name}, and backbones that are trained along need both. Set "
                    "`training.unfreeze_backbones` to false, or leave these rows out."
                )
        self.num_rows = rows.num_rows
        self.labels_array = np.asarray(rows.labels)
        self._inputs = {MODALITIES[name].input_name: MODALITIES[name].rows(rows.columns[name]) for name in modalities}

    def batches(self, row_numbers: np.ndarray) -> Iterator[tuple[dict[str, Any], Any]]:
        """Inputs by the names of the backbones' inputs, and labels, for each row of `(steps, batch)` numbers.

        Pictures are float32, 0 to 255.
        """
        return prefetched(self._batch, row_numbers)

    def _batch(self, row_numbers: np.ndarray) -> tuple[dict[str, Any], Any]:
        inputs = {name: tf.constant(rows[row_numbers]) for name, rows in self._inputs.items()}
        # Token ids stay whole numbers.
        inputs = {
            name: tf.cast(values, tf.float32) if values.dtype == tf.uint8 else values for name, values in inputs.items()
        }
        return inputs, tf.constant(self.labels_array[row_numbers])
