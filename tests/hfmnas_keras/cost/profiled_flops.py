"""FLOPs by TensorFlow's own profiler: an oracle that knows nothing of our layers."""

import math

import keras
import tensorflow as tf
from tensorflow import compat


def profiled_flops(model):
    """FLOPs of the products in a model's graph at batch 1, by type of operation.

    The profiler counts those types that it knows; products by Einstein summation, which it takes for free, are added
    by their definition: all indices run, and each step is a multiply-accumulate.
    """
    specs = keras.tree.map_structure(lambda tensor: tf.TensorSpec((1, *tensor.shape[1:]), tensor.dtype), model.input)
    function = tf.function(lambda inputs: model(inputs, training=False)).get_concrete_function(specs)
    counted = {"Einsum": 0}
    for operation in function.graph.get_operations():
        if operation.type == "Einsum":
            counted["Einsum"] += 2 * math.prod(_index_sizes(operation).values())
    options = compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    node = compat.v1.profiler.profile(function.graph, cmd="op", options=options)
    while node.children:
        (node,) = node.children
        counted[node.name] = node.float_ops
    products = ("MatMul", "BatchMatMulV2", "Conv2D", "DepthwiseConv2dNative", "Einsum")
    return {name: counted[name] for name in products if counted.get(name)}


def _index_sizes(operation):
    operands = operation.get_attr("equation").decode().split("->")[0].split(",")
    sizes = {}
    for indices, tensor in zip(operands, operation.inputs, strict=True):
        sizes.update(zip(indices, tensor.shape, strict=True))
    return sizes
