from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from hfmnas_keras.layers.normalization import layer_normalization

# A sequence up to this length goes step by step; a longer one in chunks of this length.
LONGEST_UNROLLED_SCAN = 16


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class ES2D(keras.layers.Layer):
    """Efficient two-dimensional selective scan (HF-MNAS, Eq. 11-23; EfficientVMamba).

    The even and odd rows and columns of a grid make four sequences. Those of the even rows are read row by row, those
    of the odd rows transposed, column by column. Each passes one selective scan with parameters of its own and is put
    back to where it came from; a layer normalisation follows.

    The scan of a sequence x_t of C channels, with N states a channel:

        [s_t, B_t, C_t] = x_t W_select          delta_t = softplus(s_t W_step + step_bias)      A = -exp(decay_log)
        h_t = exp(delta_t A) h_(t-1) + delta_t x_t B_t                                          h_0 = 0
        y_t = h_t . C_t + skip * x_t

    All sequences are computed together, in float32 or wider. Where height or width is odd some sequences are shorter:
    they are padded with steps of delta 0, which leave the state as it is, so that a short sequence gives exactly what
    it gives alone. A grid one position high or wide has no odd rows or columns, and fewer sequences.

    Weights, S sequences in the order (even rows, even columns), (even, odd), (odd, even), (odd, odd) and R = ceil(C /
    16): `select_kernel (S, C, R + 2 * state_size)`, columns s, B, C; `step_kernel (S, R, C)`; `step_bias (S, C)`;
    `decay_log (S, C, state_size)`, log(1..state_size) at the start (S4D-real); `skip (S, C)`, ones at the start;
    `normalization`.

    Args:
        channels: int. Channels C of the input and of the output.
        state_size: int. States N of a channel. Defaults to `16`.
        affine: bool. Whether the layer normalisation has scale and offset. Defaults to `True`.

    Call arguments:
        inputs: tensor of shape `(batch, height, width, channels)`, height and width known, 1 or more.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Raises:
        ValueError: when the input is not a grid of known size with that many channels.

    Example:
    >>> tuple(ES2D(channels=8)(np.ones((2, 5, 3, 8))).shape)
    (2, 5, 3, 8)

    Reference:
     - [Pei et al., EfficientVMamba](https://arxiv.org/abs/2403.09977)
     - [Gu and Dao, Mamba](https://arxiv.org/abs/2312.00752), initial values
    """

    def __init__(self, channels: int, state_size: int = 16, affine: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        if channels < 1 or state_size < 1:
            raise ValueError(
                f"`channels` and `state_size` must be positive. Received: channels={channels}, state_size={state_size}."
            )
        self.channels = channels
        self.state_size = state_size
        self.affine = affine

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 4 or None in input_shape[1:] or input_shape[-1] != self.channels:
            raise ValueError(
                f"`ES2D` needs an input of shape (batch, height, width, {self.channels}) with known height and width. "
                f"Received: {tuple(input_shape)}."
            )
        self.height, self.width = input_shape[1:3]
        # Parities that rows and columns have, and how many rows and columns there are of a parity, rounded up.
        self.row_parities, self.column_parities = min(2, self.height), min(2, self.width)
        self.half_height, self.half_width = math.ceil(self.height / 2), math.ceil(self.width / 2)
        self.length = self.half_height * self.half_width
        self.step_rank = math.ceil(self.channels / 16)

        sequences = self.row_parities * self.column_parities
        uniform = keras.initializers.RandomUniform
        select_limit, step_limit = self.channels**-0.5, self.step_rank**-0.5
        # Steps and decays never pass half precision: their exponentials add up along the sequence.
        self.select_kernel = self.add_weight(
            shape=(sequences, self.channels, self.step_rank + 2 * self.state_size),
            initializer=uniform(-select_limit, select_limit),
            autocast=False,
            name="select_kernel",
        )
        self.step_kernel = self.add_weight(
            shape=(sequences, self.step_rank, self.channels),
            initializer=uniform(-step_limit, step_limit),
            autocast=False,
            name="step_kernel",
        )
        self.step_bias = self.add_weight(
            shape=(sequences, self.channels), initializer=_initial_step_bias, autocast=False, name="step_bias"
        )
        self.decay_log = self.add_weight(
            shape=(sequences, self.channels, self.state_size),
            initializer=_initial_decay_log,
            autocast=False,
            name="decay_log",
        )
        self.skip = self.add_weight(shape=(sequences, self.channels), initializer="ones", autocast=False, name="skip")
        self.normalization = layer_normalization(self.affine, self.dtype_policy, "normalization")
        self.normalization.build((None, self.height, self.width, self.channels))
        # 1 where a step of a sequence is a position of the grid, 0 where it is padding
        ones = np.ones((1, self.height, self.width, 1), "float32")
        steps = ops.convert_to_numpy(self.to_sequences(ops.convert_to_tensor(ones)))
        self.real_steps = None if steps.all() else steps

    def call(self, inputs: Any) -> Any:
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        sequences = self.to_sequences(ops.cast(inputs, dtype))
        return self.normalization(ops.cast(self.put_back(self.scan(sequences)), self.compute_dtype))

    def to_sequences(self, grid: Any) -> Any:
        """Splits `(batch, height, width, channels)` to `(sequences, batch, length, channels)`, padded with zeros."""
        missing_rows = self.half_height * self.row_parities - self.height
        missing_columns = self.half_width * self.column_parities - self.width
        if missing_rows or missing_columns:
            grid = ops.pad(grid, [[0, 0], [0, missing_rows], [0, missing_columns], [0, 0]])
        channels = grid.shape[-1]
        halves = ops.reshape(
            grid, (-1, self.half_height, self.row_parities, self.half_width, self.column_parities, channels)
        )
        shape = (self.column_parities, -1, self.length, channels)
        # Taken apart by whole tensors here and below: the gradient of a slice would be a tensor of mostly zeros.
        row_halves = ops.unstack(halves, num=self.row_parities, axis=2)
        even_rows = ops.reshape(ops.transpose(row_halves[0], (3, 0, 1, 2, 4)), shape)
        if self.row_parities == 1:
            return even_rows
        odd_rows = ops.reshape(ops.transpose(row_halves[1], (3, 0, 2, 1, 4)), shape)
        return ops.concatenate([even_rows, odd_rows], axis=0)

    def put_back(self, sequences: Any) -> Any:
        """The inverse of `to_sequences`, without the padding."""
        channels = sequences.shape[-1]
        even_shape = (self.column_parities, -1, self.half_height, self.half_width, channels)
        # (batch, half_height, half_width, column_parities, channels)
        row_halves = ops.split(sequences, self.row_parities, axis=0)
        halves = [ops.transpose(ops.reshape(row_halves[0], even_shape), (1, 2, 3, 0, 4))]
        if self.row_parities == 2:
            odd_shape = (self.column_parities, -1, self.half_width, self.half_height, channels)
            odd_rows = ops.reshape(row_halves[1], odd_shape)
            halves.append(ops.transpose(odd_rows, (1, 3, 2, 0, 4)))
        grid = ops.reshape(
            ops.stack(halves, axis=2),
            (-1, self.half_height * self.row_parities, self.half_width * self.column_parities, channels),
        )
        if grid.shape[1:3] != (self.height, self.width):
            grid = grid[:, : self.height, : self.width]
        return grid

    def scan(self, sequences: Any) -> Any:
        """The selective scan of every sequence, `(sequences, batch, length, channels)` to the same shape."""
        num_sequences, rank, states = sequences.shape[0], self.step_rank, self.state_size
        # One matrix a sequence: (sequences, batch * length, ...)
        rows = ops.reshape(sequences, (num_sequences, -1, self.channels))
        selected = ops.matmul(rows, self.select_kernel)
        low_rank_steps, into_state, out_of_state = ops.split(selected, [rank, rank + states], axis=-1)
        step_bias = ops.expand_dims(self.step_bias, 1)
        steps = ops.softplus(ops.matmul(low_rank_steps, self.step_kernel) + step_bias)
        steps = ops.reshape(steps, (num_sequences, -1, self.length, self.channels))
        if self.real_steps is not None:
            steps = steps * ops.cast(self.real_steps, steps.dtype)
        # (sequences, batch, length, states)
        out_of_state = ops.reshape(out_of_state, (num_sequences, -1, self.length, states))
        into_state = ops.reshape(into_state, (num_sequences, -1, self.length, 1, states))
        decay_rates = ops.reshape(-ops.exp(self.decay_log), (num_sequences, 1, 1, self.channels, states))
        # (sequences, batch, length, channels, states)
        decays = ops.exp(ops.expand_dims(steps, -1) * decay_rates)
        updates = ops.expand_dims(steps * sequences, -1) * into_state
        state_history = _scan(decays, updates)
        outputs = ops.einsum("sblcn,sbln->sblc", state_history, out_of_state)
        return outputs + ops.reshape(self.skip, (num_sequences, 1, 1, self.channels)) * sequences

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "state_size": self.state_size,
            "affine": self.affine,
        }

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def multiply_accumulates(self, shape: Any) -> int:
        sequences, channels, states = self.row_parities * self.column_parities, self.channels, self.state_size
        # Padded steps count, as they are computed.
        steps = sequences * self.length
        selection = channels * (self.step_rank + 2 * states) + self.step_rank * channels
        # h_t = decay * h_(t-1) + ..., y_t = h_t . C_t, and + skip * x_t
        recurrence = channels * states + channels * states + channels
        return steps * (selection + recurrence)


def _scan(decays: Any, updates: Any) -> Any:
    """h_t = decay_t * h_(t-1) + update_t along axis 2 of `(sequences, batch, length, channels, states)`.

    A short sequence goes step by step. A long one is cut into chunks that go step by step side by side, each from
    zero; the states at their ends are a short sequence again, and what enters a chunk is added last.
    """
    sequences, _, length, channels, states = decays.shape
    if length <= LONGEST_UNROLLED_SCAN:
        return ops.stack(_unrolled_scan(decays, updates, axis=2)[0], axis=2)
    chunks = math.ceil(length / LONGEST_UNROLLED_SCAN)
    missing = [[0, 0], [0, 0], [0, chunks * LONGEST_UNROLLED_SCAN - length], [0, 0], [0, 0]]
    chunked = (sequences, -1, chunks, LONGEST_UNROLLED_SCAN, channels, states)
    history, decays_so_far = _unrolled_scan(
        ops.reshape(ops.pad(decays, missing), chunked), ops.reshape(ops.pad(updates, missing), chunked), axis=3
    )
    chunk_ends = _scan(decays_so_far[-1], history[-1])
    entering = ops.pad(chunk_ends[:, :, :-1], [[0, 0], [0, 0], [1, 0], [0, 0], [0, 0]])
    history = [state + decay * entering for state, decay in zip(history, decays_so_far, strict=True)]
    joined = ops.reshape(ops.stack(history, axis=3), (sequences, -1, chunks * LONGEST_UNROLLED_SCAN, channels, states))
    return joined[:, :, :length]


def _unrolled_scan(decays: Any, updates: Any, axis: int) -> tuple[list[Any], list[Any]]:
    """States from zero, and the product of the decays so far, at each step along a short axis."""
    length = decays.shape[axis]
    step_decays, step_updates = (ops.unstack(each, length, axis=axis) for each in (decays, updates))
    states, decays_so_far = [step_updates[0]], [step_decays[0]]
    for decay, update in zip(step_decays[1:], step_updates[1:], strict=True):
        states.append(decay * states[-1] + update)
        decays_so_far.append(decay * decays_so_far[-1])
    return states, decays_so_far


def _initial_step_bias(shape: Any, dtype: Any = None) -> Any:
    """The bias for which softplus gives steps between 0.001 and 0.1, evenly spread over the orders of magnitude."""
    logarithms = keras.initializers.RandomUniform(math.log(1e-3), math.log(1e-1))(shape, dtype)
    steps = ops.exp(logarithms)
    return steps + ops.log(-ops.expm1(-steps))


def _initial_decay_log(shape: Any, dtype: Any = None) -> Any:
    """log(1..states) in every channel: S4D-real."""
    return ops.broadcast_to(ops.log(ops.arange(1, shape[-1] + 1, dtype=dtype)), shape)
