"""All edges that leave one source of a supernet cell, in few large kernels (HF-MNAS, Eq. 10)."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from hfmnas_keras.edge_operations import EDGE_OPERATIONS, edge_operation
from hfmnas_keras.layers.depthwise import depthwise_initializer, kernel_extents
from hfmnas_keras.layers.normalization import BATCH_MOMENTUM, EPSILON
from hfmnas_keras.layers.replicas import mean_over_replicas

# How the fused kernels order the paper's operations: `none`; then what has no kernels; then convolutions and linear
# ones.
_UNLEARNED = ("skip", "max_pool_3x3", "avg_pool_3x3")
_LINEAR = ("linear_relu", "linear_sigmoid", "linear_tanh", "linear_elu")
_LEARNED = ("sep_conv_3x3", "dil_conv_3x3", *_LINEAR)
_IS_LINEAR = np.array([[name not in _LINEAR for name in _LEARNED], [name in _LINEAR for name in _LEARNED]], "float32")
_FUSED = ("none", *_UNLEARNED, *_LEARNED)


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class MixedEdges(keras.layers.Layer):
    """Every edge that leaves one source node, each a mixture of edge operations (HF-MNAS, Eq. 10).

    Of the paper's ten the same result as one layer per edge and operation, in a few dozen kernels instead of hundreds:
    what has no weights (`none`, `skip`, the two pools) is the same on all edges and made once; the linear operations
    of all edges are one matrix product; the convolutions are batched products too. Further operations are one layer an
    edge. Batch normalisation has no scale and offset, so that the outputs of operations stay comparable while
    searching (docs/method.md, section 4).

    Args:
        channels: int. Channels C of the source and of every edge.
        num_edges: int. Number of edges that leave the source.
        dropout: float. Rate after the linear operations. Defaults to `0.1`.
        partial_channels: int. K: the first of K equal parts of the channels passes the operations, the others go round
            them unchanged, and the channels are shuffled, as of K groups, so that the next edge's first part has some
            of each (PC-DARTS). Defaults to `1`: all pass.
        operations: names of edge operations. Those of the paper that are not among them are computed all the same.
            Defaults to the paper's ten.

    Call arguments:
        inputs: pair of the source `(batch, height, width, channels)` and the probabilities of the operations on each
            edge `(num_edges, number of operations)`, in the order of `operations`.

    Returns:
        Tensor of shape `(num_edges, batch, height, width, channels)`.

    Example:
    >>> probabilities = np.full((3, 10), 0.1)
    >>> tuple(MixedEdges(channels=8, num_edges=3)([np.ones((2, 4, 4, 8)), probabilities]).shape)
    (3, 2, 4, 4, 8)

    Reference:
     - [Long et al., 2025, Eq. 10]; partial channels: [Xu et al., 2020, Eq. 2](https://arxiv.org/abs/1907.05737)
    """

    def __init__(
        self,
        channels: int,
        num_edges: Any,
        dropout: float = 0.1,
        partial_channels: int = 1,
        operations: Any = EDGE_OPERATIONS,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if channels < 1 or num_edges < 1:
            raise ValueError(
                f"`channels` and `num_edges` must be at least 1. Received: channels={channels}, num_edges={num_edges}."
            )
        if partial_channels < 1 or channels % partial_channels:
            raise ValueError(
                f"`partial_channels` must divide `channels`. Received: partial_channels={partial_channels}, "
                f"channels={channels}."
            )
        self.channels = channels
        self.num_edges = num_edges
        self.dropout = dropout
        self.partial_channels = partial_channels
        self.mixed_channels = channels // partial_channels
        self.operations = tuple(operations)
        self._further = [name for name in self.operations if name not in _FUSED]

    def build(self, input_shape: Any) -> None:
        height, width = self._check_shape(input_shape[0])
        self.height, self.width = height, width
        positions = height * width
        edges, channels = self.num_edges, self.mixed_channels
        extents = kernel_extents(height, width)
        dilated_extents = kernel_extents(height, width, dilation=2)
        self._taps = _taps(height, width, extents, dilation=1)
        self._dilated_taps = _taps(height, width, dilated_extents, dilation=2)

        # Whatever is stacked here, each initialiser is that of one edge's operation alone.
        pointwise_limit = (3.0 / channels) ** 0.5
        pointwise = keras.initializers.RandomUniform(-pointwise_limit, pointwise_limit)
        # Channels lead: the first depthwise products of all edges share the source.
        self.sep_depthwise_kernel = self.add_weight(
            shape=(channels, edges, len(self._taps)),
            initializer=depthwise_initializer(extents),
            name="sep_depthwise_kernel",
        )
        self.dil_depthwise_kernel = self.add_weight(
            shape=(channels, edges, len(self._dilated_taps)),
            initializer=depthwise_initializer(dilated_extents),
            name="dil_depthwise_kernel",
        )
        # The first pointwise product of `sep_conv_3x3`, edge by edge, then that of `dil_conv_3x3`.
        self.pointwise_kernel = self.add_weight(
            shape=(2 * edges, channels, channels), initializer=pointwise, name="pointwise_kernel"
        )
        self.sep_second_depthwise_kernel = self.add_weight(
            shape=(edges, channels, len(self._taps)),
            initializer=depthwise_initializer(extents),
            name="sep_second_depthwise_kernel",
        )
        self.sep_second_pointwise_kernel = self.add_weight(
            shape=(edges, channels, channels), initializer=pointwise, name="sep_second_pointwise_kernel"
        )
        self.linear_kernel = self.add_weight(
            shape=(edges, len(_LINEAR), channels, channels), initializer=pointwise, name="linear_kernel"
        )
        self.linear_bias = self.add_weight(
            shape=(edges, len(_LINEAR), channels, 1), initializer="zeros", name="linear_bias"
        )
        self.pool_norm = _Standardization(axes=(1, 2), dtype=self.dtype_policy, name="pool_norm")
        self.pool_norm.build((2, None, positions, channels))
        self.sep_norm = _Standardization(axes=(-1,), dtype=self.dtype_policy, name="sep_norm")
        self.sep_norm.build((edges, channels, None))
        self.learned_norm = _Standardization(axes=(-1,), dtype=self.dtype_policy, name="learned_norm")
        self.learned_norm.build((edges, len(_LEARNED), channels, None))
        self.linear_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="linear_dropout")
        self.linear_dropout.build((edges, None))
        # One flat list, edge by edge: a `.keras` file would not hold the weights of a nested one.
        self.further_operations = []
        for edge, name in itertools.product(range(edges), self._further):
            operation = edge_operation(
                name,
                channels,
                dropout=self.dropout,
                affine=False,
                dtype=self.dtype_policy,
                name=f"edge_{edge}_{name}",
            )
            operation.build((None, height, width, channels))
            self.further_operations.append(operation)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        source, probabilities = inputs
        source = ops.reshape(source, (-1, self.height * self.width, self.channels))
        if self.partial_channels == 1:
            mixed = self._mixed(source, probabilities, training)
        else:
            source, passed_by = ops.split(source, [self.mixed_channels], axis=-1)
            mixed = self._shuffled(self._mixed(source, probabilities, training), passed_by)
        return ops.reshape(mixed, (self.num_edges, -1, self.height, self.width, self.channels))

    def _mixed(self, source: Any, probabilities: Any, training: bool | None) -> Any:
        """The operations of all edges, weighed, as rows `(edges, everything else)`."""
        # Batch last: every product below is then a plain (batched) matrix product, and each channel's statistics run
        # over one contiguous row.
        # (channels, positions, batch)
        columns = ops.transpose(source, (2, 1, 0))
        fused = probabilities if self.operations == _FUSED else self._columns(probabilities, _FUSED)
        _, unlearned_weights, learned_weights = ops.split(fused, [1, 1 + len(_UNLEARNED)], axis=1)
        # (edges, operations, channels, positions * batch)
        learned = ops.stack([*self._convolutions(columns, training), *self._linear(columns)], axis=1)
        learned = self.learned_norm(learned, training=training)
        # One product weighs the operations, the convolutions and the linear ones apart: (edges, 2, operations).
        learned_weights = ops.expand_dims(learned_weights, 1) * ops.cast(_IS_LINEAR, self.compute_dtype)
        learned = ops.matmul(learned_weights, ops.reshape(learned, (self.num_edges, len(_LEARNED), -1)))
        convolutions, linear = ops.unstack(learned, num=2, axis=1)
        # The linear operations of an edge share a mask, which so comes after their sum: each still drops at its rate,
        # and they compete on equal terms.
        mixed = convolutions + self.linear_dropout(linear, training=training)
        mixed = ops.reshape(mixed, (self.num_edges, self.mixed_channels, self.height * self.width, -1))
        # (edges, batch, positions, channels)
        mixed = ops.reshape(ops.transpose(mixed, (0, 3, 2, 1)), (self.num_edges, -1))
        unlearned = ops.reshape(self._unlearned(source, training), (len(_UNLEARNED), -1))
        mixed = mixed + ops.matmul(unlearned_weights, unlearned)
        if self._further:
            mixed = mixed + self._further_mixed(source, self._columns(probabilities, self._further), training)
        return mixed

    def _columns(self, probabilities: Any, names: Any) -> Any:
        """Columns of the probabilities by name, zeros for operations that are not there."""
        places = np.array([[own == name for name in names] for own in self.operations], "float32")
        return ops.matmul(probabilities, ops.cast(places, probabilities.dtype))

    def _further_mixed(self, source: Any, probabilities: Any, training: bool | None) -> Any:
        """The operations that the fused kernels do not know, layer by layer, weighed: `(edges, everything else)`."""
        grid = ops.reshape(source, (-1, self.height, self.width, self.mixed_channels))
        outputs = ops.stack([operation(grid, training=training) for operation in self.further_operations])
        # (edges, operations, batch * positions * channels)
        outputs = ops.reshape(outputs, (self.num_edges, len(self._further), -1))
        return ops.squeeze(ops.matmul(ops.expand_dims(probabilities, 1), outputs), axis=1)

    def _shuffled(self, mixed: Any, passed_by: Any) -> Any:
        """What went through the operations and what went round them, the channels shuffled as of K groups."""
        positions, groups = self.height * self.width, self.partial_channels
        mixed = ops.reshape(mixed, (self.num_edges, -1, positions, self.mixed_channels))
        passed_by = ops.broadcast_to(passed_by, (self.num_edges, *ops.shape(passed_by)))
        outputs = ops.concatenate([mixed, passed_by], axis=-1)
        # Channel i of group g comes to place i * K + g.
        outputs = ops.reshape(outputs, (self.num_edges, -1, positions, groups, self.mixed_channels))
        return ops.transpose(outputs, (0, 1, 2, 4, 3))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "channels": self.channels,
                "num_edges": self.num_edges,
                "dropout": self.dropout,
                "partial_channels": self.partial_channels,
                "operations": list(self.operations),
            }
        )
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (self.num_edges, *input_shape[0])

    def _check_shape(self, source_shape: Any) -> Any:
        if len(source_shape) != 4 or None in source_shape[1:] or source_shape[-1] != self.channels:
            raise ValueError(
                f"`MixedEdges` needs a source of shape (batch, height, width, {self.channels}) with known height and "
                f"width. Received: {tuple(source_shape)}."
            )
        return source_shape[1:3]

    def _unlearned(self, source: Any, training: bool | None) -> Any:
        """Skip and both pools, (3, batch, positions, channels)."""
        grid = ops.reshape(source, (-1, self.height, self.width, self.mixed_channels))
        pools = ops.stack(
            [
                ops.max_pool(grid, 3, strides=1, padding="same", data_format="channels_last"),
                # Padding is not counted in the mean.
                ops.average_pool(grid, 3, strides=1, padding="same", data_format="channels_last"),
            ]
        )
        pools = ops.reshape(pools, (2, -1, self.height * self.width, self.mixed_channels))
        return ops.concatenate([ops.expand_dims(source, 0), self.pool_norm(pools, training=training)], axis=0)

    def _convolutions(self, columns: Any, training: bool | None) -> Any:
        """Separable and dilated convolutions of all edges, each (edges, channels, positions * batch)."""
        edges, channels, positions = self.num_edges, self.mixed_channels, self.height * self.width
        # (channels, 2 * edges * positions, positions)
        operators = ops.concatenate(
            [
                self._position_operators(self.sep_depthwise_kernel, self._taps),
                self._position_operators(self.dil_depthwise_kernel, self._dilated_taps),
            ],
            axis=1,
        )
        operators = ops.reshape(operators, (channels, 2 * edges * positions, positions))
        depthwise = ops.matmul(operators, ops.relu(columns))
        depthwise = ops.transpose(ops.reshape(depthwise, (channels, 2 * edges, -1)), (1, 0, 2))
        separable, dilated = ops.split(ops.matmul(self.pointwise_kernel, depthwise), 2, axis=0)

        separable = ops.relu(self.sep_norm(separable, training=training))
        separable = ops.reshape(separable, (edges, channels, positions, -1))
        operators = self._position_operators(self.sep_second_depthwise_kernel, self._taps)
        separable = ops.reshape(ops.matmul(operators, separable), (edges, channels, -1))
        return ops.matmul(self.sep_second_pointwise_kernel, separable), dilated

    def _linear(self, columns: Any) -> Any:
        """The four linear operations of all edges, each (edges, channels, positions * batch)."""
        kernel = ops.reshape(self.linear_kernel, (-1, self.mixed_channels))
        outputs = ops.matmul(kernel, ops.reshape(columns, (self.mixed_channels, -1)))
        outputs = ops.reshape(outputs, (self.num_edges, len(_LINEAR), self.mixed_channels, -1)) + self.linear_bias
        relu, sigmoid, tanh, elu = ops.unstack(outputs, num=len(_LINEAR), axis=1)
        return ops.relu(relu), ops.sigmoid(sigmoid), ops.tanh(tanh), ops.elu(elu)

    def _position_operators(self, kernel: Any, taps: Any) -> Any:
        """Depthwise kernels as matrices between positions, (..., positions, positions).

        On a grid of 16 positions a product with such a matrix is much faster than a depthwise convolution, forward
        and backward, on a CPU as on an accelerator.
        """
        positions = self.height * self.width
        operators = ops.matmul(kernel, ops.cast(taps, kernel.dtype))
        return ops.reshape(operators, (*kernel.shape[:-1], positions, positions))


class _Standardization(keras.layers.Layer):
    """Batch normalisation without scale and offset, each remaining axis by itself."""

    def __init__(self, axes: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.axes = axes

    def build(self, input_shape: Any) -> None:
        reduced = {axis % len(input_shape) for axis in self.axes}
        shape = tuple(1 if axis in reduced else size for axis, size in enumerate(input_shape))
        self.moving_mean = self.add_weight(
            shape=shape, initializer="zeros", trainable=False, autocast=False, name="moving_mean"
        )
        self.moving_variance = self.add_weight(
            shape=shape, initializer="ones", trainable=False, autocast=False, name="moving_variance"
        )

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        # Sums over a batch overflow in half precision.
        outputs = ops.cast(inputs, keras.backend.result_type(self.compute_dtype, "float32"))
        if training:
            mean = mean_over_replicas(ops.mean(outputs, axis=self.axes, keepdims=True))
            outputs = outputs - mean
            variance = mean_over_replicas(ops.mean(ops.square(outputs), axis=self.axes, keepdims=True))
            self.moving_mean.assign_sub((self.moving_mean - mean) * (1.0 - BATCH_MOMENTUM))
            self.moving_variance.assign_sub((self.moving_variance - variance) * (1.0 - BATCH_MOMENTUM))
        else:
            outputs = outputs - self.moving_mean
            variance = self.moving_variance
        return ops.cast(outputs * ops.rsqrt(variance + EPSILON), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def _taps(height: Any, width: Any, extents: Any, dilation: Any) -> Any:
    """Which input position each tap of a same-padded kernel reads: (taps, positions out * positions in) of 0 and 1."""
    kernel_height, kernel_width = extents
    taps = np.zeros((kernel_height, kernel_width, height, width, height, width), "float32")
    for tap_row, tap_column, row, column in np.ndindex(kernel_height, kernel_width, height, width):
        source_row = row + (tap_row - kernel_height // 2) * dilation
        source_column = column + (tap_column - kernel_width // 2) * dilation
        if 0 <= source_row < height and 0 <= source_column < width:
            taps[tap_row, tap_column, row, column, source_row, source_column] = 1.0
    return taps.reshape(kernel_height * kernel_width, -1)
