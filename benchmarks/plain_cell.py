"""A supernet cell as one would first write it: one layer an edge and operation, one a node and operation."""

from __future__ import annotations

import itertools

import keras
from keras import ops

from hfmnas_keras.edge_operations import EDGE_OPERATIONS, edge_operation
from hfmnas_keras.layers.normalization import layer_normalization
from hfmnas_keras.node_operations import NODE_OPERATIONS, node_operation
from hfmnas_keras.settings.fusion import FusionSettings
from hfmnas_keras.settings.space import SpaceSettings
from tests.hfmnas_keras.cell.chosen_weights import edge_weights, fusion_weights


class PlainCell(keras.layers.Layer):
    """Computes what `SupernetCell` computes (HF-MNAS, Eq. 10-25), with the layers of `SearchedCell` alone.

    The yardstick of `SupernetCell`: 140 edge operations and 36 node operations for four nodes, each called by itself,
    with a dropout and a normalisation of its own.

    Args:
        channels: int.
        fusion: `FusionSettings`.
        space: `SpaceSettings`, with `node_inputs="pair"`.

    Call arguments:
        inputs: pair of tensors, each of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, height, width, num_nodes * channels)`.
    """

    def __init__(self, channels: int, fusion: FusionSettings, space: SpaceSettings, **kwargs):
        super().__init__(**kwargs)
        if space.node_inputs != "pair":
            raise ValueError(f'`PlainCell` knows `node_inputs="pair"` alone. Received: {space.node_inputs!r}.')
        self.channels, self.fusion, self.space = channels, fusion, space

    def build(self, input_shape):
        fusion, space = self.fusion, self.space
        source_shape = tuple(input_shape[0])
        logits = {"initializer": keras.initializers.RandomNormal(stddev=1e-3), "autocast": False, "dtype": "float32"}
        num_edges = space.num_nodes * (space.num_nodes + 3) // 2
        self.gamma = self.add_weight(shape=(num_edges, len(EDGE_OPERATIONS)), name="gamma", **logits)
        self.beta = self.add_weight(shape=(space.num_nodes, len(NODE_OPERATIONS)), name="beta", **logits)
        self.importance = self.add_weight(
            shape=(space.num_nodes,), initializer="zeros", autocast=False, dtype="float32", name="importance"
        )
        self.edges = []
        self.fusions = []
        for node in range(space.num_nodes):
            for predecessor, name in itertools.product(range(2 + node), EDGE_OPERATIONS):
                edge = edge_operation(
                    name,
                    self.channels,
                    dropout=fusion.dropout,
                    affine=False,
                    dtype=self.dtype_policy,
                    name=f"node_{node}_edge_{predecessor}_{name}",
                )
                edge.build(source_shape)
                self.edges.append(edge)
            for name in NODE_OPERATIONS:
                operation = node_operation(
                    name,
                    self.channels,
                    dropout=fusion.dropout,
                    affine=False,
                    num_heads=fusion.num_heads,
                    values=fusion.attention_values,
                    dtype=self.dtype_policy,
                    name=f"node_{node}_{name}",
                )
                operation.build([source_shape, source_shape])
                self.fusions.append(operation)
        self.output_norm = layer_normalization(affine=False, dtype=self.dtype_policy, name="output_norm")
        self.output_norm.build(source_shape)

    def call(self, inputs, training=False, discretised=False):
        # Its nodes' inputs are made as those of a discretised cell, anyway.
        del discretised
        gamma = ops.cast(ops.softmax(self.gamma), self.compute_dtype)
        beta = ops.cast(ops.softmax(self.beta), self.compute_dtype)
        importance = ops.exp(self.importance)
        importance = ops.cast(importance / ops.sum(importance), self.compute_dtype)
        sources = list(inputs)
        outputs = []
        for node in range(self.space.num_nodes):
            first_edge = node * (node + 3) // 2
            mixed, strengths = [], []
            for edge, source in enumerate(sources, start=first_edge):
                operations = self.edges[len(EDGE_OPERATIONS) * edge :][: len(EDGE_OPERATIONS)]
                mixed.append(
                    sum(gamma[edge, index] * layer(source, training=training) for index, layer in enumerate(operations))
                )
                # Of all operations but `none`, which comes first.
                strengths.append(ops.max(gamma[edge, 1:]))
            first, second = _pair(mixed, strengths)
            operations = self.fusions[len(NODE_OPERATIONS) * node :][: len(NODE_OPERATIONS)]
            output = sum(
                beta[node, index] * layer([first, second], training=training) for index, layer in enumerate(operations)
            )
            sources.append(output)
            outputs.append(self.output_norm(output) * self.space.num_nodes * importance[node])
        return ops.concatenate(outputs, axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[0][:-1], self.space.num_nodes * self.channels)

    def copy_weights(self, supernet_cell) -> None:
        """Takes over the weights, logits and moving averages of a `SupernetCell` of the same settings."""
        for name in ("gamma", "beta", "importance"):
            getattr(self, name).assign(getattr(supernet_cell, name))
        edges = iter(self.edges)
        fusions = iter(self.fusions)
        for node in range(self.space.num_nodes):
            for predecessor, name in itertools.product(range(2 + node), EDGE_OPERATIONS):
                _assign(next(edges), edge_weights(supernet_cell, node, predecessor, name))
            for name in NODE_OPERATIONS:
                _assign(next(fusions), fusion_weights(supernet_cell, node, name))


def _pair(mixed, strengths):
    """Both inputs of a node: the mean over all pairs of its mixed edges, weighed by the product of their strengths."""
    pairs = list(itertools.combinations(range(len(mixed)), 2))
    weights = [strengths[first] * strengths[second] for first, second in pairs]
    total = sum(weights)
    return tuple(
        sum(weight / total * mixed[pair[side]] for weight, pair in zip(weights, pairs, strict=True)) for side in (0, 1)
    )


def _assign(layer, values):
    for weight in layer.weights:
        weight.assign(values[weight.path.removeprefix(f"{layer.path}/")])
