"""The four fusion operations of BM-NAS."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.attention.attention_logits import attention_logits
from hfmnas_keras.cost.layer_rules import multiply_accumulates, no_products, num_positions
from hfmnas_keras.layers.normalization import EPSILON, batch_normalization
from hfmnas_keras.layers.positions import per_position
from hfmnas_keras.operations import FUSION_OPERATIONS

_ATTENTION_DROPOUT = 0.1


def grid_normalization(dtype: Any, name: str) -> keras.layers.LayerNormalization:
    """BM-NAS's layer normalisation, over all positions and channels of a grid, with scale and offset."""
    return keras.layers.LayerNormalization(axis=(-3, -2, -1), epsilon=EPSILON, dtype=dtype, name=name)


class FusionOperation(keras.layers.Layer):
    """Base of the operations that fuse two grids in BM-NAS.

    Args:
        channels: int. Channels C of both inputs and of the output.
        dropout: float. Defaults to `0.1`.

    Call arguments:
        inputs: pair of tensors, each of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Reference:
     - Yin et al., "BM-NAS: Bilevel Multimodal Neural Architecture Search", AAAI 2022; docs/method.md, section 11
    """

    def __init__(self, channels: int, dropout: float = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels = channels
        self.dropout = dropout

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 2 or any(tuple(shape)[-1] != self.channels for shape in input_shape):
            raise ValueError(
                f"`{type(self).__name__}` needs two grids of {self.channels} channels. Received: {input_shape}."
            )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"channels": self.channels, "dropout": self.dropout})
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0])

    def _make_projection(self, units: int, input_shape: Any) -> None:
        joined_shape = (*input_shape[0][:-1], 2 * self.channels)
        self.projection = keras.layers.Dense(units, dtype=self.dtype_policy, name="projection")
        self.projection.build(joined_shape)
        self.norm = batch_normalization(affine=True, dtype=self.dtype_policy, name="norm")
        self.norm.build((*joined_shape[:-1], units))
        self._make_dropout(self.dropout, input_shape)

    def _make_dropout(self, rate: Any, input_shape: Any) -> None:
        self.output_dropout = keras.layers.Dropout(rate, dtype=self.dtype_policy, name="output_dropout")
        self.output_dropout.build(input_shape[0])

    def _project(self, inputs: Any, training: bool | None) -> Any:
        return self.norm(per_position(self.projection, ops.concatenate(inputs, axis=-1)), training=training)


@keras.saving.register_keras_serializable(package="hfmnas_keras.bm_nas")
class Sum(FusionOperation):
    """x + y."""

    multiply_accumulates = no_products

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        return inputs[0] + inputs[1]


@keras.saving.register_keras_serializable(package="hfmnas_keras.bm_nas")
class ScaledDotAttention(FusionOperation):
    """softmax(x y^T / sqrt C) y over the positions, without weights; dropout .1, grid normalisation."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self._make_dropout(_ATTENTION_DROPOUT, input_shape)
        self.output_norm = grid_normalization(self.dtype_policy, "output_norm")
        self.output_norm.build(input_shape[0])

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        query, values = (ops.reshape(grid, (-1, grid.shape[1] * grid.shape[2], self.channels)) for grid in inputs)
        attention = ops.cast(ops.softmax(attention_logits("bqd,bkd->bqk", query, values)), values.dtype)
        attended = ops.reshape(ops.matmul(attention, values), (-1, *inputs[0].shape[1:]))
        return self.output_norm(self.output_dropout(attended, training=training))

    def multiply_accumulates(self, shapes: Any) -> int:
        positions, channels = num_positions(shapes[0]), shapes[0][-1]
        # Logits, then what is attended to.
        return 2 * positions * positions * channels


@keras.saving.register_keras_serializable(package="hfmnas_keras.bm_nas")
class LinearGLU(FusionOperation):
    """Dense(2C -> 2C) on both, BN, the first half times the sigmoid of the second; dropout."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self._make_projection(2 * self.channels, input_shape)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        values, gates = ops.split(self._project(inputs, training), 2, axis=-1)
        return self.output_dropout(values * ops.sigmoid(gates), training=training)

    def multiply_accumulates(self, shapes: Any) -> int:
        return multiply_accumulates(self.projection, (*shapes[0][:-1], 2 * self.channels))


@keras.saving.register_keras_serializable(package="hfmnas_keras.bm_nas")
class ConcatFC(FusionOperation):
    """Dense(2C -> C) on both, BN, ReLU; dropout."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self._make_projection(self.channels, input_shape)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        return self.output_dropout(ops.relu(self._project(inputs, training)), training=training)

    def multiply_accumulates(self, shapes: Any) -> int:
        return multiply_accumulates(self.projection, (*shapes[0][:-1], 2 * self.channels))


_CLASSES = {
    "sum": Sum,
    "scaled_dot_attention": ScaledDotAttention,
    "linear_glu": LinearGLU,
    "concat_fc": ConcatFC,
}


def fusion_operation(operation: str, channels: int, dropout: float = 0.1, **kwargs: Any) -> FusionOperation:
    """Returns the operation of a name of `FUSION_OPERATIONS`.

    Raises:
        ValueError: for another name; the message lists the known ones.
    """
    if operation not in _CLASSES:
        raise ValueError(f"BM-NAS has no fusion operation {operation!r}. Known ones: {', '.join(FUSION_OPERATIONS)}.")
    return _CLASSES[operation](channels, dropout=dropout, **kwargs)
