from __future__ import annotations

from typing import Any

import keras

from hfmnas_keras.attention.multi_head_fusion_attention import MultiHeadFusionAttention
from hfmnas_keras.cost.layer_rules import multiply_accumulates
from hfmnas_keras.node_operations.node_operation_base import NodeOperation


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class MultiHeadAttention(NodeOperation):
    """Multi-head attention of each grid over the other (HF-MNAS, Eq. 14-15).

    Weights: those of `attention`, a `MultiHeadFusionAttention`, and of `normalization`.

    Args:
        channels, dropout, affine: see `NodeOperation`.
        num_heads: int. Heads of each direction. Defaults to `4`.
        values: str. `"query"` (default: Eq. 14-15 as printed) or `"key"`.

    Call arguments:
        inputs: pair of tensors, each of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, height, width, channels)`.

    Example:
    >>> tuple(MultiHeadAttention(channels=8)([np.ones((2, 4, 4, 8))] * 2).shape)
    (2, 4, 4, 8)
    """

    def __init__(
        self,
        channels: int,
        dropout: float = 0.1,
        affine: bool = True,
        num_heads: int = 4,
        values: str = "query",
        **kwargs: Any,
    ):
        super().__init__(channels=channels, dropout=dropout, affine=affine, **kwargs)
        self.num_heads = num_heads
        self.values = values

    def build_fusion(self, height: Any, width: Any) -> None:
        self.attention = MultiHeadFusionAttention(
            self.channels, self.num_heads, self.values, dtype=self.dtype_policy, name="attention"
        )
        self.attention.build([(None, height, width, self.channels)] * 2)

    def fuse(self, first: Any, second: Any, training: bool | None = None) -> Any:
        return self.attention([first, second])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_heads": self.num_heads, "values": self.values}

    def multiply_accumulates(self, shapes: Any) -> int:
        return multiply_accumulates(self.attention, shapes)
