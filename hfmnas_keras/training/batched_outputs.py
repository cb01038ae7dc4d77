"""Runs a model over many rows, a batch at a time."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf


class BatchedOutputs:
    """The outputs of a model in inference mode, compiled once for batches of any size.

    Args:
        model: `keras.Model` with one input.
        batch_size: int. Defaults to `64`.
    """

    def __init__(self, model: keras.Model, batch_size: int = 64):
        self.batch_size = batch_size
        # Rows arrive as they are kept, uint8 pictures say, and are cast on the device.
        dtype = keras.backend.standardize_dtype(model.inputs[0].dtype)

        @tf.function(reduce_retracing=True)
        def outputs(rows):
            return model(tf.cast(rows, dtype), training=False)

        self._outputs = outputs

    def __call__(self, inputs: np.ndarray, rows: np.ndarray | None = None, progress: str | None = None) -> Any:
        """Outputs for all rows of `inputs`, or the given ones, in the structure the model returns.

        Args:
            inputs: array `(rows, ...)`.
            rows: optional int array of row numbers.
            progress: optional words to print before a progress bar.
        """
        rows = np.arange(len(inputs)) if rows is None else rows
        steps = range(0, len(rows), self.batch_size)
        if progress:
            print(progress)
        bar = keras.utils.Progbar(len(steps)) if progress else None
        batches = []
        # A batch even where there are no rows: the outputs then have their shapes, with no rows.
        for number, start in enumerate(steps or (0,), start=1):
            batch = inputs[rows[start : start + self.batch_size]]
            batches.append(keras.tree.map_structure(lambda tensor: tensor.numpy(), self._outputs(tf.constant(batch))))
            if bar and len(rows):
                bar.update(number)
        return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
