"""The matrix products and depthwise convolutions in the graph of a compiled step, and their floating point operations.

A product of `(..., m, k)` and `(..., k, n)` counts 2mkn, a depthwise convolution 2 for each output and tap. All else
(activations, normalisations, pools, weighted sums, the optimiser) is not counted: it is little arithmetic, and none of
it is what a faster form of the step could call useful. What the graph holds but nothing reads is not counted either:
a gradient that is not differentiated for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

_PRODUCTS = ("MatMul", "BatchMatMulV2", "Einsum")
_DEPTHWISE = (
    "DepthwiseConv2dNative",
    "DepthwiseConv2dNativeBackpropInput",
    "DepthwiseConv2dNativeBackpropFilter",
)
# Their bodies are graphs of their own, which are not looked into.
_CALLS = ("PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If", "StatelessIf")
_REPLAYS = 20


def counted_operations(graph: tf.Graph) -> list[tf.Operation]:
    """Products and depthwise convolutions that an output or a change of a variable depends on.

    Raises:
        RuntimeError: where the graph calls another graph, whose operations would be missed.
    """
    wanted = [
        operation for operation in graph.get_operations() if operation.type.startswith(("ResourceApply", "Assign"))
    ]
    wanted += [tensor.op for tensor in getattr(graph, "outputs", ())]
    seen: set[str] = set()
    found = []
    while wanted:
        operation = wanted.pop()
        if operation.name in seen:
            continue
        seen.add(operation.name)
        wanted += [tensor.op for tensor in operation.inputs]
        if operation.type in _CALLS:
            raise RuntimeError(f"{operation.name} ({operation.type}) calls another graph, which is not counted.")
        if operation.type in _PRODUCTS + _DEPTHWISE:
            found.append(operation)
    return found


def flops(operations: Iterable[tf.Operation]) -> int:
    """Sum over the operations."""
    return sum(map(_flops, operations))


def products(operations: Iterable[tf.Operation]) -> list[tf.Operation]:
    """The matrix products among them."""
    return [operation for operation in operations if operation.type in _PRODUCTS]


def seconds_of_products(operations: Sequence[tf.Operation]) -> float:
    """Median time of the matrix products by themselves: same shapes, operands there already, none waits for another."""
    operands = [[_random_tensor(tensor) for tensor in operation.inputs] for operation in operations]

    @tf.function(autograph=False)
    def replay():
        # An element of each, or the products would be taken out as unused.
        results = [_replay(*each) for each in zip(operations, operands, strict=True)]
        return tf.add_n([tf.cast(tf.reshape(result, [-1])[0], tf.float32) for result in results])

    return median_seconds(lambda: replay().numpy(), _REPLAYS)


def median_seconds(function, repeats: int) -> float:
    """Median time of a call, after two that are not counted."""
    seconds = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[2:]))


def _flops(operation: tf.Operation) -> int:
    first, second = operation.inputs[0], operation.inputs[-1]
    if operation.type == "MatMul":
        inner = first.shape[0 if operation.get_attr("transpose_a") else 1]
        return 2 * inner * _size(operation.outputs[0])
    if operation.type == "BatchMatMulV2":
        inner = first.shape[-2 if operation.get_attr("adj_x") else -1]
        return 2 * inner * _size(operation.outputs[0])
    if operation.type == "Einsum":
        subscripts = operation.get_attr("equation").decode().split("->")[0].split(",")
        sizes = {
            axis: size
            for axes, tensor in zip(subscripts, operation.inputs, strict=True)
            for axis, size in zip(axes, tensor.shape, strict=True)
        }
        return 2 * math.prod(sizes.values())
    # The positions of the output and the taps of the kernel, in the forward pass and in both gradients.
    if operation.type == "DepthwiseConv2dNative":
        output, kernel = operation.outputs[0].shape, second.shape
    elif operation.type == "DepthwiseConv2dNativeBackpropInput":
        output, kernel = second.shape, operation.inputs[1].shape
    else:
        output, kernel = second.shape, operation.outputs[0].shape
    return 2 * math.prod(output) * kernel[0] * kernel[1]


def _size(tensor: tf.Tensor) -> int:
    if not tensor.shape.is_fully_defined():
        raise RuntimeError(f"{tensor.name} has the shape {tensor.shape}: its operations cannot be counted.")
    return math.prod(tensor.shape)


def _replay(operation: tf.Operation, operands: Sequence[tf.Tensor]) -> tf.Tensor:
    if operation.type == "MatMul":
        transposed = {name: operation.get_attr(name) for name in ("transpose_a", "transpose_b")}
        return tf.linalg.matmul(*operands, **transposed)
    if operation.type == "BatchMatMulV2":
        adjoint = {f"adjoint_{side}": operation.get_attr(f"adj_{name}") for side, name in (("a", "x"), ("b", "y"))}
        return tf.linalg.matmul(*operands, **adjoint)
    return tf.einsum(operation.get_attr("equation").decode(), *operands)


def _random_tensor(tensor: tf.Tensor) -> tf.Tensor:
    _size(tensor)
    return tf.cast(tf.random.normal(tensor.shape), tensor.dtype)
