from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import kernel_sizes, multiply_accumulates, num_positions
from hfmnas_keras.layers.depthwise import depthwise_initializer, kernel_extents
from hfmnas_keras.layers.positions import per_position
from hfmnas_keras.node_operations.node_operation_base import NodeOperation
from hfmnas_keras.state_space.es2d import ES2D


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class MambaFusion(NodeOperation):
    """Fuses two grids with a state space model of their product (HF-MNAS, Eq. 11-23).

    u_i = depthwise 3x3(Dense_i(x_i)); m = ES2D(SiLU(u_1 * u_2)), computed once;
    Dense(m * SiLU(Dense(x_1)) + m * SiLU(Dense(x_2))).

    Weights, with (kh, kw) from `kernel_extents`: for input i `projection_i/kernel (channels, 2 * channels)`, columns
    of u_i, then of the gate, no bias; `depthwise_kernel (kh, kw, 2 * channels, 1)` and `depthwise_bias
    (2 * channels,)`, u_1 first; those of `scan`, an `ES2D`; `output_projection/kernel (channels, channels)`, no bias;
    `normalization`.

    Arguments and shapes are those of `NodeOperation`.

    Example:
    >>> tuple(MambaFusion(channels=8)([np.ones((2, 4, 4, 8))] * 2).shape)
    (2, 4, 4, 8)
    """

    def build_fusion(self, height: Any, width: Any) -> None:
        extents = kernel_extents(height, width)
        self.projection_1 = self._dense(2 * self.channels, "projection_1")
        self.projection_2 = self._dense(2 * self.channels, "projection_2")
        self.output_projection = self._dense(self.channels, "output_projection")
        self.depthwise_kernel = self.add_weight(
            shape=(*extents, 2 * self.channels, 1),
            initializer=depthwise_initializer(extents),
            name="depthwise_kernel",
        )
        self.depthwise_bias = self.add_weight(shape=(2 * self.channels,), initializer="zeros", name="depthwise_bias")
        self.scan = ES2D(self.channels, affine=self.affine, dtype=self.dtype_policy, name="scan")
        self.scan.build((None, height, width, self.channels))

    def fuse(self, first: Any, second: Any, training: bool | None = None) -> Any:
        value_1, gate_1 = ops.split(per_position(self.projection_1, first), 2, axis=-1)
        value_2, gate_2 = ops.split(per_position(self.projection_2, second), 2, axis=-1)
        # Both depthwise convolutions in one: (batch, height, width, 2 * channels)
        values = ops.concatenate([value_1, value_2], axis=-1)
        filtered = ops.depthwise_conv(values, self.depthwise_kernel, strides=1, padding="same") + self.depthwise_bias
        filtered_1, filtered_2 = ops.split(filtered, 2, axis=-1)
        scanned = self.scan(ops.silu(filtered_1 * filtered_2))
        # m * a + m * b = m * (a + b)
        return per_position(self.output_projection, scanned * (ops.silu(gate_1) + ops.silu(gate_2)))

    def multiply_accumulates(self, shapes: Any) -> int:
        projections = multiply_accumulates(self.projection_1, shapes[0]) + multiply_accumulates(
            self.projection_2, shapes[1]
        )
        depthwise = num_positions(shapes[0]) * kernel_sizes(self.depthwise_kernel)
        scan = multiply_accumulates(self.scan, shapes[0])
        return projections + depthwise + scan + multiply_accumulates(self.output_projection, shapes[0])

    def _dense(self, units: int, name: str) -> keras.layers.Dense:
        dense = keras.layers.Dense(units, use_bias=False, dtype=self.dtype_policy, name=name)
        dense.build((None, self.channels))
        return dense
