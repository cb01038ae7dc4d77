"""Runs a model over many rows, a batch at a time."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hfmnas_keras.data.prefetched import prefetched

# Bytes of a batch's inputs. What a network makes of them on its way takes several times as much.
_LARGEST_BATCH_BYTES = 64 << 20


class BatchedOutputs:
    """The outputs of a model in inference mode, compiled once for batches of any size.

    Args:
        model: `keras.Model` with one input.
        batch_size: int. Most rows at once; of large rows, such as clips, fewer. Defaults to `64`.
    """

    def __init__(self, model: keras.Model, batch_size: int = 64):
        row_bytes = 4 * math.prod(side or 1 for side in model.inputs[0].shape[1:])
        self.batch_size = max(1, min(batch_size, _LARGEST_BATCH_BYTES // row_bytes))
        # Rows arrive as they are kept, uint8 pictures say, and are cast on the device.
        dtype = keras.backend.standardize_dtype(model.inputs[0].dtype)

        @tf.function(reduce_retracing=True)
        def outputs(rows: Any) -> Any:
            return model(tf.cast(rows, dtype), training=False)

        self._outputs = outputs

    def __call__(self, inputs: np.ndarray, rows: np.ndarray | None = None, progress: str | None = None) -> Any:
        """Outputs for all rows of `inputs`, or the given ones, in the structure the model returns.

        Rows of token ids pass in the order of their lengths: some networks cut off what no row of a batch needs.

        Args:
            inputs: array `(rows, ...)`, or `DecodedRows`.
            rows: optional int array of row numbers.
            progress: optional words to print before a progress bar.
        """
        rows = np.arange(len(inputs)) if rows is None else rows
        order = _by_length(inputs, rows)
        steps = range(0, len(rows), self.batch_size)
        if progress:
            print(progress)
        bar = keras.utils.Progbar(len(steps)) if progress else None
        batches = []
        # A batch even where there are no rows: the outputs then have their shapes, with no rows.
        row_numbers = (rows[order[start : start + self.batch_size]] for start in steps or (0,))
        for number, batch in enumerate(prefetched(inputs.__getitem__, row_numbers), start=1):
            batches.append(keras.tree.map_structure(lambda tensor: tensor.numpy(), self._outputs(tf.constant(batch))))
            if bar and len(rows):
                bar.update(number)
        place_of_row = np.argsort(order)
        return keras.tree.map_structure(lambda *parts: np.concatenate(parts)[place_of_row], *batches)


def _by_length(inputs: Any, rows: np.ndarray) -> np.ndarray:
    """An order of the rows: of token ids, 0 being padding, the shortest text first."""
    if len(inputs.shape) != 2 or not np.issubdtype(inputs.dtype, np.integer):
        return np.arange(len(rows))
    places = np.arange(1, inputs.shape[1] + 1)
    return np.argsort(np.max(places * (inputs[rows] != 0), axis=1, initial=0), kind="stable")
