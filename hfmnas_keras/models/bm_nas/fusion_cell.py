"""A cell of BM-NAS, its operations open or chosen."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates
from hfmnas_keras.layers.normalization import batch_normalization
from hfmnas_keras.layers.positions import per_position
from hfmnas_keras.models.bm_nas.fusion_operations import fusion_operation, grid_normalization
from hfmnas_keras.operations import FUSION_OPERATIONS


class _Cell(keras.layers.Layer):
    """What both cells have: steps on a list of states that begins with x and y, and the way out.

    The outputs of all inner steps are concatenated and, where there are several, brought back to C channels
    (Dense, BN, ReLU, dropout); x is added; grid normalisation.
    """

    def __init__(self, channels: int, inner_steps: int = 1, dropout: float = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels = channels
        self.inner_steps = inner_steps
        self.dropout = dropout

    def build(self, input_shape: Any) -> None:
        grid_shape = tuple(input_shape[0])
        self.operations = []
        for step in range(self.inner_steps):
            for name in self._names_of_step(step):
                operation = fusion_operation(
                    name, self.channels, self.dropout, dtype=self.dtype_policy, name=f"step_{step}_{name}"
                )
                operation.build([grid_shape, grid_shape])
                self.operations.append(operation)
        if self.inner_steps > 1:
            self.projection = keras.layers.Dense(self.channels, dtype=self.dtype_policy, name="projection")
            self.projection.build((*grid_shape[:-1], self.inner_steps * self.channels))
            self.norm = batch_normalization(affine=True, dtype=self.dtype_policy, name="norm")
            self.norm.build(grid_shape)
            self.output_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="output_dropout")
            self.output_dropout.build(grid_shape)
        self.output_norm = grid_normalization(self.dtype_policy, "output_norm")
        self.output_norm.build(grid_shape)

    def _way_out(self, first: Any, outputs: Any, training: bool | None) -> Any:
        if self.inner_steps > 1:
            joined = per_position(self.projection, ops.concatenate(outputs, axis=-1))
            out = self.output_dropout(ops.relu(self.norm(joined, training=training)), training=training)
        else:
            (out,) = outputs
        return self.output_norm(out + first)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"channels": self.channels, "dropout": self.dropout})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0])


@keras.saving.register_keras_serializable(package="hfmnas_keras.bm_nas")
class OpenFusionCell(_Cell):
    """A cell of the supernet: every step a mixture of all operations on two mixtures of earlier states.

    Args:
        channels: int. Channels C.
        inner_steps: int. Defaults to `1`.
        dropout: float. Defaults to `0.1`.

    Call arguments:
        inputs: list of x and y, both `(batch, height, width, channels)`; the weights of the states in both inputs of
            every step, `(steps, 2, 1 + steps)`, of which step n reads the first 2 + n; the probabilities of the
            operations, `(steps, 4)`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.
    """

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        first, second, mixing, probabilities = inputs
        states = [first, second]
        for step in range(self.inner_steps):
            pair = [
                sum(ops.cast(mixing[step, which, index], first.dtype) * state for index, state in enumerate(states))
                for which in range(2)
            ]
            operations = self.operations[step * len(FUSION_OPERATIONS) : (step + 1) * len(FUSION_OPERATIONS)]
            states.append(
                sum(
                    ops.cast(probabilities[step, index], first.dtype) * operation(pair, training=training)
                    for index, operation in enumerate(operations)
                )
            )
        return self._way_out(first, states[2:], training)

    def _names_of_step(self, step: Any) -> Any:
        del step
        return FUSION_OPERATIONS

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "inner_steps": self.inner_steps}


@keras.saving.register_keras_serializable(package="hfmnas_keras.bm_nas")
class FusionCell(_Cell):
    """A cell of the searched model.

    Args:
        steps: sequence of dicts, one a step: `inputs`, the numbers of two earlier states (0 is x, 1 is y, 2 + n is
            step n), and `operation`, a name of `FUSION_OPERATIONS`.
        channels: int. Channels C.
        dropout: float. Defaults to `0.1`.

    Call arguments:
        inputs: pair of x and y, both `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.
    """

    def __init__(self, steps: Any, channels: int, dropout: float = 0.1, **kwargs: Any):
        super().__init__(channels, len(steps), dropout, **kwargs)
        self.steps = [{"inputs": list(step["inputs"]), "operation": step["operation"]} for step in steps]

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        states = list(inputs)
        for step, operation in zip(self.steps, self.operations, strict=True):
            states.append(operation([states[number] for number in step["inputs"]], training=training))
        return self._way_out(inputs[0], states[2:], training)

    def _names_of_step(self, step: Any) -> Any:
        return (self.steps[step]["operation"],)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "steps": self.steps}

    def multiply_accumulates(self, shapes: Any) -> int:
        grid = shapes[0]
        total = sum(multiply_accumulates(operation, [grid, grid]) for operation in self.operations)
        if self.inner_steps > 1:
            total += multiply_accumulates(self.projection, (*grid[:-1], self.inner_steps * self.channels))
        return total
