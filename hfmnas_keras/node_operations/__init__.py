"""The nine operations a node of a cell chooses from (HF-MNAS, Eq. 11-23; docs/method.md, section 4)."""

from __future__ import annotations

from typing import Any

from hfmnas_keras.node_operations.bidirectional_attention import BidirectionalAttention
from hfmnas_keras.node_operations.concat_fc import ConcatFC
from hfmnas_keras.node_operations.linear_glu import LinearGLU
from hfmnas_keras.node_operations.mamba_fusion import MambaFusion
from hfmnas_keras.node_operations.multi_head_attention import MultiHeadAttention
from hfmnas_keras.node_operations.multiply import Multiply
from hfmnas_keras.node_operations.node_operation_base import NodeOperation
from hfmnas_keras.node_operations.scaled_dot_attention import ScaledDotAttention
from hfmnas_keras.node_operations.squeeze_excitation import SqueezeExcitation
from hfmnas_keras.node_operations.sum import Sum
from hfmnas_keras.operations import NODE_OPERATIONS

_CLASSES: dict[str, type[NodeOperation]] = {
    "sum": Sum,
    "multiply": Multiply,
    "scaled_dot_attention": ScaledDotAttention,
    "bidirectional_attention": BidirectionalAttention,
    "multi_head_attention": MultiHeadAttention,
    "squeeze_excitation": SqueezeExcitation,
    "linear_glu": LinearGLU,
    "concat_fc": ConcatFC,
    "mamba_fusion": MambaFusion,
}


def node_operation(
    operation: str,
    channels: int,
    dropout: float = 0.1,
    affine: bool = True,
    num_heads: int = 4,
    values: str = "query",
    **kwargs: Any,
) -> NodeOperation:
    """Makes a node operation from its name.

    Args:
        operation: str. One of `NODE_OPERATIONS`.
        channels: int. Channels of both inputs and of the output.
        dropout: float. Rate after the fusion. Defaults to `0.1`.
        affine: bool. Whether normalisations have scale and offset. Defaults to `True`.
        num_heads: int. Heads of `multi_head_attention`. Defaults to `4`.
        values: str. Whose values `multi_head_attention` reads, `"query"` (default) or `"key"`.
        **kwargs: `name` and `dtype` of the layer.

    Returns:
        A layer called with a pair of `(batch, height, width, channels)` that returns one such grid.

    Raises:
        ValueError: when the name is not known.
    """
    if operation not in _CLASSES:
        raise ValueError(f"Unknown node operation: {operation!r}. Known ones: {', '.join(NODE_OPERATIONS)}.")
    if operation == "multi_head_attention":
        kwargs.update(num_heads=num_heads, values=values)
    return _CLASSES[operation](channels=channels, dropout=dropout, affine=affine, **kwargs)


__all__ = ["NODE_OPERATIONS", "NodeOperation", "node_operation"]
