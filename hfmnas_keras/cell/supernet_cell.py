"""A cell whose every choice is still open."""

from __future__ import annotations

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from hfmnas_keras.cell.mixed_edges import MixedEdges
from hfmnas_keras.cell.mixed_node import MixedNode
from hfmnas_keras.edge_operations import EDGE_OPERATIONS
from hfmnas_keras.layers.normalization import layer_normalization
from hfmnas_keras.node_operations import NODE_OPERATIONS
from hfmnas_keras.settings.fusion import ATTENTION_VALUES
from hfmnas_keras.settings.space import NODE_INPUTS


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class SupernetCell(keras.layers.Layer):
    """A cell of which every edge and node is a mixture of all operations (HF-MNAS, Fig. 8, Eq. 10-25).

    Two inputs and `num_nodes` nodes; node `i` reads the inputs and all earlier nodes. Architecture parameters are
    `gamma`, one row of logits an edge, and `beta`, one row of logits a node. `importance`, the w of Eq. 24-25,
    is an ordinary weight: it is trained on the training loss.

    Each node's operations take two inputs, which `node_inputs` makes of its mixed edges z_j (docs/method.md, section
    4; the paper leaves it open):

    - `"pair"`: the mean over pairs j < k of (z_j, z_k), with P(j, k) proportional to s_j * s_k, where s_j is the
      largest probability of an operation other than `none` on edge j. No further parameter, and where the unchosen
      edges are `none` the cell *is* the discretised one.
    - `"split"`: x1 = z_0 + half the sum over earlier nodes, x2 = z_1 + the same.
    - `"shared"`: both are the sum over all edges (as in BM-NAS).

    Args:
        channels: int. Channels C of both inputs and of each node.
        num_nodes: int. Nodes M. Defaults to `4`.
        node_inputs: str. `"pair"` (default), `"split"` or `"shared"`.
        dropout: float. Defaults to `0.1`.
        num_heads: int. Heads of `multi_head_attention`. Defaults to `4`.
        attention_values: str. Whose values `multi_head_attention` reads, `"query"` (default) or `"key"`.
        partial_channels: int. As of `MixedEdges`. Defaults to `1`.
        edge_operations, node_operations: names of the operations that are searched, `"none"` among those of edges: the
            columns of gamma and beta. Default to the paper's ten and nine.

    Call arguments:
        inputs: pair of tensors, each of shape `(batch, height, width, channels)`.
        discretised: bool. Make the nodes' inputs as `"pair"` does, whatever `node_inputs` says. With the logits of
            `one_hot_logits` the cell then is the searched one. Defaults to `False`.

    Returns:
        Tensor of shape `(batch, height, width, num_nodes * channels)`: the nodes' outputs, each layer-normalised and
        times a_i = M * softmax(w)_i.

    Reference:
     - [Long et al., 2025, Fig. 8, Eq. 10-25]; docs/method.md, section 4
    """

    def __init__(
        self,
        channels: int,
        num_nodes: int = 4,
        node_inputs: str = "pair",
        dropout: float = 0.1,
        num_heads: int = 4,
        attention_values: str = "query",
        partial_channels: int = 1,
        edge_operations: Any = EDGE_OPERATIONS,
        node_operations: Any = NODE_OPERATIONS,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if node_inputs not in NODE_INPUTS:
            raise ValueError(f"`node_inputs` must be one of {NODE_INPUTS}. Received: {node_inputs!r}.")
        if attention_values not in ATTENTION_VALUES:
            raise ValueError(f"`attention_values` must be one of {ATTENTION_VALUES}. Received: {attention_values!r}.")
        if num_nodes < 1:
            raise ValueError(f"`num_nodes` must be at least 1. Received: {num_nodes}.")
        self.channels = channels
        self.num_nodes = num_nodes
        self.node_inputs = node_inputs
        self.dropout = dropout
        self.num_heads = num_heads
        self.attention_values = attention_values
        self.partial_channels = partial_channels
        self.edge_operations = tuple(edge_operations)
        self.node_operations = tuple(node_operations)

    @property
    def num_edges(self) -> int:
        """M(M+3)/2, 14 for M = 4."""
        return self.num_nodes * (self.num_nodes + 3) // 2

    def build(self, input_shape: Any) -> None:
        source_shape = tuple(input_shape[0])
        if len(input_shape) != 2 or source_shape != tuple(input_shape[1]):
            raise ValueError(f"`SupernetCell` needs two inputs with equal shapes. Received: {input_shape}.")
        # Small random logits: all choices start nearly equal, but not tied. Never in half precision, in which steps
        # of the architecture's size would be lost.
        logits = {"initializer": keras.initializers.RandomNormal(stddev=1e-3), "autocast": False, "dtype": "float32"}
        self.gamma = self.add_weight(shape=(self.num_edges, len(self.edge_operations)), name="gamma", **logits)
        self.beta = self.add_weight(shape=(self.num_nodes, len(self.node_operations)), name="beta", **logits)
        self.importance = self.add_weight(
            shape=(self.num_nodes,), initializer="zeros", autocast=False, dtype="float32", name="importance"
        )
        self.edges_of_source = []
        self._edges_by_source: list[Any] = []
        self._first_edges = []
        # The last node is read by no other.
        for source in range(1 + self.num_nodes):
            readers = range(_first_reader(source), self.num_nodes)
            self._first_edges.append(len(self._edges_by_source))
            self._edges_by_source.extend(_edge(reader, source) for reader in readers)
            edges = MixedEdges(
                self.channels,
                len(readers),
                dropout=self.dropout,
                partial_channels=self.partial_channels,
                operations=self.edge_operations,
                dtype=self.dtype_policy,
                name=f"source_{source}",
            )
            edges.build([source_shape, (len(readers), len(self.edge_operations))])
            self.edges_of_source.append(edges)
        self.nodes = []
        for index in range(self.num_nodes):
            node = MixedNode(
                self.channels,
                dropout=self.dropout,
                num_heads=self.num_heads,
                attention_values=self.attention_values,
                operations=self.node_operations,
                dtype=self.dtype_policy,
                name=f"node_{index}",
            )
            node.build([source_shape, source_shape, (len(self.node_operations),)])
            self.nodes.append(node)
        self.output_norm = layer_normalization(affine=False, dtype=self.dtype_policy, name="output_norm")
        self.output_norm.build((*source_shape[:-1], self.num_nodes, self.channels))
        self._pairs = _Pairs(self.num_nodes)

    def call(self, inputs: Any, training: bool | None = False, discretised: bool = False) -> Any:
        # Rows of gamma, source by source.
        probabilities = ops.take(ops.softmax(self.gamma), self._edges_by_source, axis=0)
        probabilities_of_source = ops.split(probabilities, self._first_edges[1:], axis=0)
        fusion_probabilities = ops.unstack(_softmax(self.beta), num=self.num_nodes, axis=0)
        mixing = self._mixing("pair" if discretised else self.node_inputs)
        mixing = ops.unstack(ops.cast(mixing, self.compute_dtype), num=self.num_nodes, axis=0)
        grid_shape = (-1, *inputs[0].shape[1:])
        sources = list(inputs)
        mixed_of_source: list[Any] = []
        node_outputs = []
        for index, node in enumerate(self.nodes):
            for source in range(len(mixed_of_source), len(sources)):
                edges = self.edges_of_source[source]
                mixed = edges([sources[source], probabilities_of_source[source]], training=training)
                mixed_of_source.append(ops.unstack(mixed, num=edges.num_edges, axis=0))
            # (predecessors, batch, height, width, channels)
            mixed_edges = ops.stack(
                [mixed[index - _first_reader(source)] for source, mixed in enumerate(mixed_of_source)]
            )
            # One product makes both inputs: (2, predecessors) by (predecessors, everything else).
            pair = ops.matmul(mixing[index][:, : 2 + index], ops.reshape(mixed_edges, (2 + index, -1)))
            first, second = (ops.reshape(grid, grid_shape) for grid in ops.unstack(pair, num=2, axis=0))
            output = node([first, second, fusion_probabilities[index]], training=training)
            node_outputs.append(output)
            if index < self.num_nodes - 1:
                sources.append(output)
        # (batch, height, width, nodes, channels)
        outputs = self.output_norm(ops.stack(node_outputs, axis=-2))
        scales = self.num_nodes * _softmax(self.importance)
        outputs = outputs * ops.expand_dims(ops.cast(scales, outputs.dtype), -1)
        return ops.reshape(outputs, (*grid_shape[:-1], self.num_nodes * self.channels))

    def probabilities(self) -> Any:
        """Softmax of the logits by their names: `gamma`, a row an edge, `beta`, a row a node, and `importance`."""
        tables = {"gamma": self.gamma, "beta": self.beta, "importance": self.importance}
        return {name: ops.convert_to_numpy(_softmax(ops.convert_to_tensor(logits))) for name, logits in tables.items()}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "channels": self.channels,
                "num_nodes": self.num_nodes,
                "node_inputs": self.node_inputs,
                "dropout": self.dropout,
                "num_heads": self.num_heads,
                "attention_values": self.attention_values,
                "partial_channels": self.partial_channels,
                "edge_operations": list(self.edge_operations),
                "node_operations": list(self.node_operations),
            }
        )
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[0][:-1], self.num_nodes * self.channels)

    def _mixing(self, node_inputs: Any) -> Any:
        """How each node's two inputs are made of its mixed edges, (nodes, 2, largest number of predecessors)."""
        if node_inputs == "shared":
            return ops.ones((self.num_nodes, 2, 1 + self.num_nodes))
        if node_inputs == "split":
            earlier_nodes = [0.5] * (self.num_nodes - 1)
            return ops.convert_to_tensor([[[1.0, 0.0, *earlier_nodes], [0.0, 1.0, *earlier_nodes]]] * self.num_nodes)
        # In logarithms, where products of small probabilities do not vanish.
        learned = [index for index, name in enumerate(self.edge_operations) if name != "none"]
        strengths = ops.max(ops.take(ops.log_softmax(self.gamma), learned, axis=1), axis=1)
        pair_logits = ops.take(strengths, self._pairs.first_edge) + ops.take(strengths, self._pairs.second_edge)
        pair_probabilities = _softmax(ops.where(self._pairs.exists, pair_logits, -1e9))
        return ops.einsum("mp,mptn->mtn", pair_probabilities, ops.convert_to_tensor(self._pairs.members))


class _Pairs:
    """Index tables of the pairs j < k of every node's predecessors, padded to the last node's number of pairs."""

    def __init__(self, num_nodes: int):
        longest = (1 + num_nodes) * num_nodes // 2
        self.first_edge = np.zeros((num_nodes, longest), "int32")
        self.second_edge = np.zeros((num_nodes, longest), "int32")
        self.exists = np.zeros((num_nodes, longest), bool)
        # (nodes, pairs, which input, predecessors): 1 where this predecessor is this input of the pair.
        self.members = np.zeros((num_nodes, longest, 2, 1 + num_nodes), "float32")
        for node in range(num_nodes):
            for pair, (first, second) in enumerate(itertools.combinations(range(2 + node), 2)):
                self.first_edge[node, pair] = _edge(node, first)
                self.second_edge[node, pair] = _edge(node, second)
                self.exists[node, pair] = True
                self.members[node, pair, 0, first] = 1.0
                self.members[node, pair, 1, second] = 1.0


def _first_reader(source: Any) -> Any:
    """The first node that reads a source; source `2 + i` is node `i`."""
    return max(0, source - 1)


def _edge(node: Any, predecessor: Any) -> Any:
    """Row of `gamma` of the edge from a predecessor into a node."""
    return node * (node + 3) // 2 + predecessor


def _softmax(logits: Any) -> Any:
    # Keras warns of a softmax over a single entry; a cell of one node is fine.
    return ops.ones_like(logits) if logits.shape[-1] == 1 else ops.softmax(logits)
