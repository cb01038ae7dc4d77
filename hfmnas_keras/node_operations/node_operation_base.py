from __future__ import annotations

from typing import Any

import keras

from hfmnas_keras.layers.normalization import layer_normalization


class NodeOperation(keras.layers.Layer):
    """Base of the node operations: fuses two grids, then dropout and layer normalisation (HF-MNAS, Eq. 11-23).

    A subclass states `fuse` and `multiply_accumulates(shapes)`, what it costs on a list of two grids
    `(height, width, channels)`, and `build_fusion` where it has weights. A supernet that weighs several operations may
    call their `fuse` and normalise the results together. `register_node_operation` gives it a name.

    Args:
        channels: int. Channels C of both inputs and of the output.
        dropout: float. Rate after the fusion. Defaults to `0.1`.
        affine: bool. Whether normalisations have scale and offset: `True` (default) in a searched model, `False`
            while searching (method section 4).

    Call arguments:
        inputs: pair of tensors, each of shape `(batch, height, width, channels)`.
        training: bool.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Raises:
        ValueError: when the inputs are not two grids of equal shape with that many channels.
    """

    def __init__(self, channels: int, dropout: float = 0.1, affine: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        if channels < 1:
            raise ValueError(f"`channels` must be positive. Received: channels={channels}.")
        self.channels = channels
        self.dropout = dropout
        self.affine = affine

    def build(self, input_shape: Any) -> None:
        shapes = [tuple(shape) for shape in input_shape]
        grids = [shape[1:] for shape in shapes]
        if len(shapes) != 2 or grids[0] != grids[1] or len(grids[0]) != 3 or grids[0][-1] != self.channels:
            raise ValueError(
                f"`{type(self).__name__}` needs two inputs with equal shapes (batch, height, width, {self.channels}). "
                f"Received: {' and '.join(map(str, shapes))}. "
                f"Project the other one first, for example with `keras.layers.Dense({self.channels})`."
            )
        height, width = grids[0][:2]
        self.build_fusion(height, width)
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="dropout")
        self.dropout_layer.build((None, height, width, self.channels))
        self.normalization = layer_normalization(self.affine, self.dtype_policy, "normalization")
        self.normalization.build((None, height, width, self.channels))

    def build_fusion(self, height: int, width: int) -> None:
        """Makes the weights of `fuse` and builds every sublayer; operations without any leave it as it is."""

    def fuse(self, first: Any, second: Any, training: bool | None = None) -> Any:
        """The operation itself, from two grids to one, before dropout and normalisation."""
        raise NotImplementedError(f"`{type(self).__name__}` must state `fuse(first, second, training)`.")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        first, second = inputs
        fused = self.dropout_layer(self.fuse(first, second, training), training=training)
        return self.normalization(fused)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "dropout": self.dropout,
            "affine": self.affine,
        }

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0])
