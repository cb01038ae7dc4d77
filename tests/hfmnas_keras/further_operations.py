"""Operations beside the paper's, as a package of someone else would have them."""

import contextlib

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates, no_products
from hfmnas_keras.edge_operations import EDGE_OPERATIONS, EdgeOperation, register_edge_operation
from hfmnas_keras.node_operations import NODE_OPERATIONS, NodeOperation, register_node_operation
from hfmnas_keras.operations import EDGE_OPERATION_LAYERS, NODE_OPERATION_LAYERS

FURTHER_EDGES = (*EDGE_OPERATIONS, "gated")
FURTHER_NODES = (*NODE_OPERATIONS, "larger")


@keras.saving.register_keras_serializable(package="further")
class Gated(EdgeOperation):
    """Each position times a gate of its own."""

    def build_operation(self, height, width):
        self.gate = keras.layers.Dense(1, activation="sigmoid", dtype=self.dtype_policy, name="gate")
        self.gate.build((None, height, width, self.channels))

    def call(self, inputs):
        return inputs * self.gate(inputs)

    def multiply_accumulates(self, shape):
        return multiply_accumulates(self.gate, shape)


@keras.saving.register_keras_serializable(package="further")
class Larger(NodeOperation):
    """The larger of both grids."""

    multiply_accumulates = no_products

    def fuse(self, first, second, training=None):
        return ops.maximum(first, second)


@contextlib.contextmanager
def registered():
    """Both operations have names while this lasts."""
    tables = [
        getattr(registry, table)
        for registry in (EDGE_OPERATION_LAYERS, NODE_OPERATION_LAYERS)
        for table in ("_things", "_descriptions")
    ]
    before = [dict(table) for table in tables]
    register_edge_operation("gated", "each position times a gate of its own")(Gated)
    register_node_operation("larger", "the larger of both")(Larger)
    try:
        yield
    finally:
        for table, content in zip(tables, before, strict=True):
            table.clear()
            table.update(content)
