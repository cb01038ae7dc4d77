"""One node of a supernet cell: all node operations, weighed (HF-MNAS, Eq. 11-23)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from hfmnas_keras.layers.normalization import layer_normalization
from hfmnas_keras.node_operations import NODE_OPERATIONS, node_operation


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class MixedNode(keras.layers.Layer):
    """The mixture of node operations on one pair of inputs (HF-MNAS, Eq. 11-23).

    Dropout and LayerNorm, which follow every operation, are applied to all of them at once.

    Args:
        channels: int. Channels C of both inputs and of the output.
        dropout: float. Rate after each operation. Defaults to `0.1`.
        num_heads: int. Heads of `multi_head_attention`. Defaults to `4`.
        attention_values: str. Whose values `multi_head_attention` reads, `"query"` (default) or `"key"`.
        operations: names of node operations. Defaults to the paper's nine.

    Call arguments:
        inputs: triple of x1, x2, both `(batch, height, width, channels)`, and the probabilities of the operations
            `(number of operations,)`, in the order of `operations`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Reference:
     - [Long et al., 2025, Eq. 11-23]; docs/method.md, section 4
    """

    def __init__(
        self,
        channels: int,
        dropout: float = 0.1,
        num_heads: int = 4,
        attention_values: str = "query",
        operations: Any = NODE_OPERATIONS,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.channels = channels
        self.dropout = dropout
        self.num_heads = num_heads
        self.attention_values = attention_values
        self.operation_names = tuple(operations)

    def build(self, input_shape: Any) -> None:
        self.operations = []
        for name in self.operation_names:
            operation = node_operation(
                name,
                self.channels,
                dropout=self.dropout,
                affine=False,
                num_heads=self.num_heads,
                values=self.attention_values,
                dtype=self.dtype_policy,
                name=name,
            )
            operation.build(list(input_shape[:2]))
            self.operations.append(operation)
        stack_shape = (len(self.operations), *input_shape[0])
        self.stack_dropout = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="stack_dropout")
        self.stack_dropout.build(input_shape[0])
        self.stack_norm = layer_normalization(affine=False, dtype=self.dtype_policy, name="stack_norm")
        self.stack_norm.build(stack_shape)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        first, second, probabilities = inputs
        # (operations, batch, height, width, channels)
        outputs = ops.stack([operation.fuse(first, second, training=training) for operation in self.operations])
        if training and self.dropout:
            # The operations share a mask: each still drops at its rate, and they compete on equal terms.
            outputs = outputs * self.stack_dropout(ops.ones_like(first), training=True)
        outputs = self.stack_norm(outputs)
        mixed = ops.matmul(ops.expand_dims(probabilities, 0), ops.reshape(outputs, (len(self.operations), -1)))
        return ops.reshape(mixed, (-1, *first.shape[1:]))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "channels": self.channels,
                "dropout": self.dropout,
                "num_heads": self.num_heads,
                "attention_values": self.attention_values,
                "operations": list(self.operation_names),
            }
        )
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0])
