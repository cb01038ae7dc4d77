"""The nine operations a node of a cell chooses from (HF-MNAS, Eq. 11-23; docs/method.md, section 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hfmnas_keras.layers.operation_makers import check_operation, make_operation
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
from hfmnas_keras.operations import NODE_OPERATION_LAYERS, NODE_OPERATIONS

_Maker = TypeVar("_Maker", bound=Callable[..., Any])


def register_node_operation(name: str, description: str = "") -> Callable[[_Maker], _Maker]:
    """Decorator that gives a `NodeOperation`, or a partial one, the name that a search and a genotype call it by.

    Args:
        name: str. A Python identifier.
        description: str. A line for people.

    Raises:
        ValueError: when the name is taken, or when the class is no `NodeOperation` or does not say what it costs.
    """

    def register(maker: _Maker) -> _Maker:
        check_operation(maker, NodeOperation)
        return NODE_OPERATION_LAYERS.register(name, description)(maker)

    return register


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
        operation: str. One of `NODE_OPERATION_LAYERS`: the paper's `NODE_OPERATIONS`, and what was registered.
        channels: int. Channels of both inputs and of the output.
        dropout: float. Rate after the fusion. Defaults to `0.1`.
        affine: bool. Whether normalisations have scale and offset. Defaults to `True`.
        num_heads: int. Heads of an operation that names them. Defaults to `4`.
        values: str. Whose values an attention reads that names them, `"query"` (default) or `"key"`.
        **kwargs: `name` and `dtype` of the layer.

    Returns:
        A layer called with a pair of `(batch, height, width, channels)` that returns one such grid.

    Raises:
        ValueError: when the name is not known.
    """
    options = {"num_heads": num_heads, "values": values}
    maker = NODE_OPERATION_LAYERS[operation]
    return make_operation(maker, options, channels=channels, dropout=dropout, affine=affine, **kwargs)


for _name, _class in {
    "sum": Sum,
    "multiply": Multiply,
    "scaled_dot_attention": ScaledDotAttention,
    "bidirectional_attention": BidirectionalAttention,
    "multi_head_attention": MultiHeadAttention,
    "squeeze_excitation": SqueezeExcitation,
    "linear_glu": LinearGLU,
    "concat_fc": ConcatFC,
    "mamba_fusion": MambaFusion,
}.items():
    register_node_operation(_name)(_class)

__all__ = ["NODE_OPERATIONS", "NODE_OPERATION_LAYERS", "NodeOperation", "node_operation", "register_node_operation"]
