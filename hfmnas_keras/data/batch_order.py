"""Which rows go into which batch, as a function of seed and batch number alone."""

from __future__ import annotations

import numpy as np


class BatchOrder:
    """An endless stream of batches over the rows of one split.

    Batch `n` depends on the arguments and `n` only, so a resumed run reads on where it stopped without any state.
    Each pass is a fresh permutation of all rows. The last batch of a pass is filled up with rows from that pass's
    beginning, so that all batches have one shape and a compiled step is traced once.

    Args:
        num_rows: int. Rows of the split, at least 1.
        batch_size: int.
        seed: int.
        stream: int. Tells two streams with the same seed apart. Defaults to `0`.
    """

    def __init__(self, num_rows: int, batch_size: int, seed: int, stream: int = 0):
        if num_rows < 1 or batch_size < 1:
            raise ValueError(f"Need at least one row and one row a batch. Received: {num_rows} rows, {batch_size}.")
        self.num_rows = num_rows
        self.batch_size = batch_size
        self.seed = seed
        self.stream = stream
        self._pass_number = -1
        self._rows = np.empty(0, "int32")

    @property
    def steps_per_pass(self) -> int:
        return -(-self.num_rows // self.batch_size)

    def batch(self, number: int) -> np.ndarray:
        """Row numbers of batch `number`, int32 `(batch_size,)`."""
        pass_number, position = divmod(number, self.steps_per_pass)
        if pass_number != self._pass_number:
            self._rows = self.rows_of_pass(pass_number)
            self._pass_number = pass_number
        return self._rows[position * self.batch_size : (position + 1) * self.batch_size]

    def rows_of_pass(self, pass_number: int) -> np.ndarray:
        """All rows of one pass in order, filled up to whole batches."""
        generator = np.random.default_rng([self.seed, self.stream, pass_number])
        order = generator.permutation(self.num_rows).astype("int32")
        return np.resize(order, self.steps_per_pass * self.batch_size)
