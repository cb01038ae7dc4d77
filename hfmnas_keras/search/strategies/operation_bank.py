"""Places of a network whose operation is an input: one traced function for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hfmnas_keras.optimization.weight_decay import is_decayed

#: Beside the operations: a place that a genotype does not have. It gives zeros, at no cost.
ABSENT = "absent"


class OperationBank:
    """Computes a place of a network, a node or an edge, by whichever operation its number names.

    The layers are those of searched models, called with weights that the caller passes: rows of one length for all
    operations, of which each reads as many numbers as it has weights. The place is traced once, with one branch an
    operation (`tf.switch_case`), and of the branches one alone is computed.

    Args:
        layers: dict from operation to a built layer, called with a grid or a list of grids. Their own weights are never
            read.
        num_inputs: int. Grids that a layer reads; with 1 it is called with the grid itself.

    Attributes:
        operations: tuple of str, `ABSENT` first; their numbers are what the functions take.
        sizes: tuple of three ints, the lengths of a row: weights that weight decay applies to, other weights, and what
            a layer keeps beside its weights (moving averages).
    """

    def __init__(self, layers: Mapping[str, keras.layers.Layer], num_inputs: int):
        self.operations = (ABSENT, *layers)
        self.num_inputs = num_inputs
        self._layers = dict(layers)
        parts = [variables_by_part(layer) for layer in layers.values()]
        lengths = [[sum(map(_size, variables)) for variables in part] for part in parts]
        self.sizes = tuple(max(length) for length in zip(*lengths, strict=True))
        # One function for each mode, which the places of a graph share: written into the graph once for each place, it
        # would take five times as long to prepare.
        once = {"autograph": False, "experimental_attributes": {"_noinline": True}}
        self._train = tf.function(self._trained, **once)
        self._infer = tf.function(self._inferred, **once)

    def train(self, number: Any, inputs: Sequence[Any], row: Sequence[Any], seed: Any) -> tuple[Any, Any]:
        """Training mode: the output, and what the layer keeps afterwards, as long as it came.

        Args:
            number: scalar int32, place of the operation in `operations`.
            inputs: list of grids `(batch, height, width, channels)`.
            row: three vectors, as long as `sizes` says.
            seed: two integers, of dropout's mask.
        """
        return self._train(tf.convert_to_tensor(number), list(inputs), list(row), seed)

    def infer(self, number: Any, inputs: Sequence[Any], row: Sequence[Any]) -> Any:
        """Inference mode: the output. Arguments as of `train`."""
        return self._infer(tf.convert_to_tensor(number), list(inputs), list(row))

    def row(self, layer: keras.layers.Layer) -> list[np.ndarray]:
        """The weights of a layer of one of the operations, as the three vectors of a row."""
        rows = []
        for size, variables in zip(self.sizes, variables_by_part(layer), strict=True):
            values = [np.ravel(keras.ops.convert_to_numpy(variable)) for variable in variables]
            length = sum(map(len, values))
            rows.append(np.concatenate([*values, np.zeros(size - length)]))
        return rows

    def assign(self, layer: keras.layers.Layer, row: Sequence[np.ndarray]) -> None:
        """Gives a layer of one of the operations the weights that `row` has."""
        for values, variables in zip(row, variables_by_part(layer), strict=True):
            begin = 0
            for variable in variables:
                variable.assign(np.reshape(values[begin : begin + _size(variable)], variable.shape))
                begin += _size(variable)

    def _trained(self, number: Any, inputs: Any, row: Any, seed: int) -> Any:
        def branch(layer: Any) -> Any:
            def run() -> Any:
                with self._scope(layer, row, seed) as scope:
                    output = layer(inputs if self.num_inputs > 1 else inputs[0], training=True)
                _, _, kept = variables_by_part(layer)
                after = [tf.reshape(scope.get_current_value(variable), [-1]) for variable in kept]
                rest = row[2][sum(map(_size, kept)) :]
                return output, tf.concat([*after, rest], 0)

            return run

        def absent() -> Any:
            return tf.zeros_like(inputs[0]), tf.identity(row[2])

        return tf.switch_case(number, [absent, *map(branch, self._layers.values())])

    def _inferred(self, number: Any, inputs: Any, row: Any) -> Any:
        def branch(layer: Any) -> Any:
            def run() -> Any:
                with self._scope(layer, row, None):
                    return layer(inputs if self.num_inputs > 1 else inputs[0], training=False)

            return run

        branches = [lambda: tf.zeros_like(inputs[0]), *map(branch, self._layers.values())]
        return tf.switch_case(number, branches)

    def _scope(self, layer: Any, row: Any, seed: Any) -> Any:
        state = []
        for values, variables in zip(row, variables_by_part(layer), strict=True):
            # One split: its gradient is one concatenation.
            lengths = [_size(variable) for variable in variables]
            pieces = tf.split(values, [*lengths, values.shape[0] - sum(lengths)])
            state += [
                (variable, tf.reshape(piece, variable.shape))
                for variable, piece in zip(variables, pieces[:-1], strict=True)
            ]
        if seed is not None:
            state += [(variable, tf.cast(seed, variable.dtype)) for variable in layer.variables if is_seed(variable)]
        return keras.StatelessScope(state_mapping=state)


def variables_by_part(layer: keras.layers.Layer) -> tuple[list[keras.Variable], ...]:
    """A layer's variables: those that weight decay applies to, other weights, and what it keeps beside them."""
    decayed = [variable for variable in layer.trainable_variables if is_decayed(variable)]
    others = [variable for variable in layer.trainable_variables if not is_decayed(variable)]
    return decayed, others, [variable for variable in layer.non_trainable_variables if not is_seed(variable)]


def is_seed(variable: keras.Variable) -> bool:
    """Whether it is the state of a random generator."""
    return variable.path.split("/")[-1] == "seed_generator_state"


def _size(variable: keras.Variable) -> int:
    return int(np.prod(variable.shape))
