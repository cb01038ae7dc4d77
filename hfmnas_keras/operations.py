"""Names of the operations that a search chooses from, and what each does (docs/method.md, sections 4 and 11).

Plain data, so that a genotype can be read, checked and drawn without Keras. The layers behind the names come with
`hfmnas_keras.edge_operations`, `hfmnas_keras.node_operations` and, for BM-NAS,
`hfmnas_keras.models.bm_nas.fusion_operations`.
"""

from __future__ import annotations

from typing import Any

from hfmnas_keras.registry import Registry

_PAPERS_EDGE_OPERATIONS = {
    "none": "cuts the edge: zeros, whatever comes in (searched, but never chosen)",
    "skip": "passes the grid on as it is",
    "max_pool_3x3": "largest of each 3x3 neighbourhood, batch normalisation",
    "avg_pool_3x3": "mean of each 3x3 neighbourhood (padding not counted), batch normalisation",
    "sep_conv_3x3": "twice: ReLU, depthwise 3x3, pointwise, batch normalisation",
    "dil_conv_3x3": "ReLU, depthwise 3x3 of dilation 2, pointwise, batch normalisation",
    "linear_relu": "Dense at each position, ReLU, batch normalisation, dropout",
    "linear_sigmoid": "Dense at each position, sigmoid, batch normalisation, dropout",
    "linear_tanh": "Dense at each position, tanh, batch normalisation, dropout",
    "linear_elu": "Dense at each position, ELU, batch normalisation, dropout",
}

_PAPERS_NODE_OPERATIONS = {
    "sum": "x1 + x2",
    "multiply": "x1 * x2",
    "scaled_dot_attention": "softmax(x1 x2^T / sqrt C) x2 over the positions, no weights",
    "bidirectional_attention": "attention both ways by one affinity S = x1 W x2^T / sqrt C, then Dense",
    "multi_head_attention": "multi-head attention of each input over the other, then Dense",
    "squeeze_excitation": "E * x2 with E = sigmoid(Dense(mean of x1 over the positions))",
    "linear_glu": "(x1 W1) * sigmoid(x2 W2)",
    "concat_fc": "ReLU(BN(Dense([x1; x2])))",
    "mamba_fusion": "state space model (ES2D) of the product of both inputs, gated by each",
}

#: How a step of BM-NAS fuses its two inputs x and y (section 11), by name, in the order of the columns of its beta.
FUSION_OPERATION_DESCRIPTIONS: dict[str, str] = {
    "sum": "x + y",
    "scaled_dot_attention": "softmax(x y^T / sqrt C) y over the positions, no weights; normalisation",
    "linear_glu": "Dense on both, batch normalisation, one half times the sigmoid of the other; dropout",
    "concat_fc": "ReLU(BN(Dense([x; y]))); dropout",
}

#: Everything that an edge may make of its grid (Eq. 10), and every way to fuse a node's inputs x1 and x2 (Eq. 11-23;
#: dropout and layer normalisation follow each): the paper's and those of other packages, with their layers.
EDGE_OPERATION_LAYERS: Registry = Registry("edge operation", _PAPERS_EDGE_OPERATIONS)
NODE_OPERATION_LAYERS: Registry = Registry("node operation", _PAPERS_NODE_OPERATIONS)

#: The paper's, which are searched by default, in the order of the columns of gamma and of beta.
EDGE_OPERATIONS: tuple[str, ...] = tuple(_PAPERS_EDGE_OPERATIONS)
NODE_OPERATIONS: tuple[str, ...] = tuple(_PAPERS_NODE_OPERATIONS)
FUSION_OPERATIONS: tuple[str, ...] = tuple(FUSION_OPERATION_DESCRIPTIONS)
#: BM-NAS's edges have the first two alone, so that `none` and `skip` are the first columns of every gamma.
BM_EDGE_OPERATIONS: tuple[str, ...] = EDGE_OPERATIONS[:2]


def checked_operations(name: str, operations: Any, registry: Registry) -> tuple[str, ...]:
    """Names of operations to search, as a setting or a file has them.

    Args:
        name: str. What they are called there, for messages.
        operations: list or tuple of known names, each once.
        registry: `EDGE_OPERATION_LAYERS`, of which `"none"` must be among them, or `NODE_OPERATION_LAYERS`.

    Raises:
        ValueError: when they are something else.
    """
    if not isinstance(operations, (list, tuple)) or not operations:
        raise ValueError(f"`{name}` must be a list of names. Received: {operations!r}.")
    for operation in operations:
        registry.check(operation)
    if len(set(operations)) != len(operations):
        raise ValueError(f"`{name}` must name each operation once. Received: {list(operations)}.")
    if registry is EDGE_OPERATION_LAYERS and ("none" not in operations or len(operations) < 2):
        # It is never chosen, but the supernet needs it for the edges that are not.
        raise ValueError(f"`{name}` must have `none` and what to choose from. Received: {list(operations)}.")
    return tuple(operations)
