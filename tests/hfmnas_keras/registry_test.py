"""Names for things, and operations that another package adds."""

import functools

import pytest
from keras import ops

from hfmnas_keras.cost import multiply_accumulates
from hfmnas_keras.cost.layer_rules import no_products
from hfmnas_keras.edge_operations import EdgeOperation, edge_operation, register_edge_operation
from hfmnas_keras.node_operations import NodeOperation, node_operation, register_node_operation
from hfmnas_keras.operations import EDGE_OPERATION_LAYERS, NODE_OPERATION_LAYERS
from hfmnas_keras.registry import Registry


def test_names_are_known_before_the_things_are_there():
    shapes = Registry("shape", {"circle": "round"})
    assert list(shapes) == ["circle"] and len(shapes) == 1 and "circle" in shapes and "square" not in shapes
    shapes.register("circle")(float)
    shapes.register("square", "four corners")(int)
    assert (shapes["circle"], shapes["square"]) == (float, int)
    assert shapes.descriptions == {"circle": "round", "square": "four corners"}


def test_an_unknown_name_lists_the_known_ones_and_says_what_to_do():
    shapes = Registry("shape", {"circle": "round", "square": ""})
    with pytest.raises(ValueError, match="no shape 'cube'. Known ones: circle, square.*`plugins`"):
        shapes["cube"]
    with pytest.raises(ValueError, match="no shape 3"):
        shapes.check(3)


def test_a_name_is_given_once():
    shapes = Registry("shape")
    shapes.register("circle")(float)
    with pytest.raises(ValueError, match="a shape 'circle' already.*float.*int.*another name"):
        shapes.register("circle")(int)
    with pytest.raises(ValueError, match="must be a Python identifier. Received: 'a circle'"):
        shapes.register("a circle")


def test_an_operation_says_what_it_costs():
    class Silent(EdgeOperation):
        pass

    with pytest.raises(ValueError, match="`Silent` must say what it costs.*no_products"):
        register_edge_operation("silent")(Silent)
    with pytest.raises(ValueError, match="must be a subclass of `NodeOperation`. Received: .*Silent"):
        register_node_operation("silent")(Silent)
    assert "silent" not in EDGE_OPERATION_LAYERS and "silent" not in NODE_OPERATION_LAYERS


class Power(EdgeOperation):
    multiply_accumulates = no_products

    def __init__(self, channels, affine=True, exponent=2, dropout=0.0, **kwargs):
        super().__init__(channels, affine, **kwargs)
        self.exponent = exponent
        self.dropout = dropout

    def call(self, inputs):
        return inputs**self.exponent


class Larger(NodeOperation):
    multiply_accumulates = no_products

    def fuse(self, first, second, training=None):
        return ops.maximum(first, second)


def test_a_further_operation_is_made_like_the_papers(monkeypatch):
    for registry in (EDGE_OPERATION_LAYERS, NODE_OPERATION_LAYERS):
        for table in ("_things", "_descriptions"):
            monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    register_edge_operation("cube")(functools.partial(Power, exponent=3))
    register_node_operation("larger", "the larger of both")(Larger)
    edge = edge_operation("cube", 4, dropout=0.25, affine=False, name="edge")
    # Arguments that its `__init__` names, and no others.
    assert (edge.exponent, edge.dropout, edge.affine, edge.channels) == (3, 0.25, False, 4)
    node = node_operation("larger", 4, dropout=0.5, num_heads=2)
    assert (node.dropout, node.channels) == (0.5, 4)
    assert multiply_accumulates(edge, (2, 2, 4)) == multiply_accumulates(node, [(2, 2, 4)] * 2) == 0
