"""A cell with one operation in each place."""

from __future__ import annotations

import itertools
from typing import Any

import keras
from keras import ops

from hfmnas_keras.cost.layer_rules import multiply_accumulates
from hfmnas_keras.edge_operations import edge_operation
from hfmnas_keras.genotype.cell_genotype import CellGenotype
from hfmnas_keras.layers.normalization import layer_normalization
from hfmnas_keras.node_operations import node_operation
from hfmnas_keras.settings.fusion import ATTENTION_VALUES


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class SearchedCell(keras.layers.Layer):
    """The cell that a genotype describes (HF-MNAS, Eq. 12).

    The other view of `SupernetCell`: with all but one operation ruled out everywhere, the supernet's cell computes
    this, node by node. Norms have scale and offset here. Each node's factor a_i comes from the genotype and stays as
    it is: the layer that reads the cell scales as it likes.

    Args:
        cell_genotype: `CellGenotype`, or the dictionary that its `to_config` makes.
        channels: int. Channels C of both inputs and of each node.
        dropout: float. Defaults to `0.1`.
        num_heads: int. Heads of `multi_head_attention`. Defaults to `4`.
        attention_values: str. Whose values `multi_head_attention` reads, `"query"` (default) or `"key"`.

    Call arguments:
        inputs: pair of tensors, each of shape `(batch, height, width, channels)`.

    Returns:
        Tensor of shape `(batch, height, width, K * channels)`, the K kept nodes by rising index.

    Reference:
     - [Long et al., 2025, Fig. 8, Eq. 12]; docs/method.md, section 4
    """

    def __init__(
        self,
        cell_genotype: Any,
        channels: int,
        dropout: float = 0.1,
        num_heads: int = 4,
        attention_values: str = "query",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if attention_values not in ATTENTION_VALUES:
            raise ValueError(f"`attention_values` must be one of {ATTENTION_VALUES}. Received: {attention_values!r}.")
        if not isinstance(cell_genotype, CellGenotype):
            cell_genotype = CellGenotype.from_config(cell_genotype)
        self.cell_genotype = cell_genotype
        self.channels = channels
        self.dropout = dropout
        self.num_heads = num_heads
        self.attention_values = attention_values

    def build(self, input_shape: Any) -> None:
        source_shape = tuple(input_shape[0])
        if len(input_shape) != 2 or source_shape != tuple(input_shape[1]):
            raise ValueError(f"`SearchedCell` needs two inputs with equal shapes. Received: {input_shape}.")
        # One flat list: a `.keras` file would not hold the weights of a nested one.
        self.edges = []
        self.nodes = []
        for choice in self.cell_genotype.nodes:
            for predecessor, name in zip(choice.predecessors, choice.edges, strict=True):
                edge = edge_operation(
                    name,
                    self.channels,
                    dropout=self.dropout,
                    dtype=self.dtype_policy,
                    name=f"node_{choice.index}_edge_{predecessor}",
                )
                edge.build(source_shape)
                self.edges.append(edge)
            node = node_operation(
                choice.fusion,
                self.channels,
                dropout=self.dropout,
                num_heads=self.num_heads,
                values=self.attention_values,
                dtype=self.dtype_policy,
                name=f"node_{choice.index}_fusion",
            )
            node.build([source_shape, source_shape])
            self.nodes.append(node)
        num_kept = len(self.cell_genotype.kept)
        self.output_norm = layer_normalization(affine=False, dtype=self.dtype_policy, name="output_norm")
        self.output_norm.build((*source_shape[:-1], num_kept, self.channels))

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        # Predecessor 2 + i is node i.
        sources = dict(enumerate(inputs))
        for choice, edges, node in zip(self.cell_genotype.nodes, self.edges_of_node(), self.nodes, strict=True):
            grids = [
                edge(sources[predecessor], training=training)
                for predecessor, edge in zip(choice.predecessors, edges, strict=True)
            ]
            sources[2 + choice.index] = node(pair_of(grids), training=training)
        kept = self.cell_genotype.kept
        # (batch, height, width, kept nodes, channels)
        outputs = self.output_norm(ops.stack([sources[2 + index] for index in kept], axis=-2))
        scales = ops.convert_to_tensor([self.cell_genotype.scales[index] for index in kept], dtype=outputs.dtype)
        outputs = outputs * ops.expand_dims(scales, -1)
        return ops.reshape(outputs, (-1, *inputs[0].shape[1:-1], len(kept) * self.channels))

    def edges_of_node(self) -> list[list[keras.layers.Layer]]:
        """The edge operations of every node, in the order of its predecessors."""
        edges = iter(self.edges)
        return [list(itertools.islice(edges, len(choice.edges))) for choice in self.cell_genotype.nodes]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "cell_genotype": self.cell_genotype.to_config(),
                "channels": self.channels,
                "dropout": self.dropout,
                "num_heads": self.num_heads,
                "attention_values": self.attention_values,
            }
        )
        return config

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[0][:-1], len(self.cell_genotype.kept) * self.channels)

    def multiply_accumulates(self, shapes: Any) -> int:
        grid = shapes[0]
        return sum(multiply_accumulates(edge, grid) for edge in self.edges) + sum(
            multiply_accumulates(node, [grid, grid]) for node in self.nodes
        )


def pair_of(grids: Any) -> Any:
    """The two inputs of a node: its two edges, or of more the mean over all pairs j < k, as `"pair"` has it."""
    if len(grids) == 2:
        return grids
    last, pairs = len(grids) - 1, len(grids) * (len(grids) - 1) // 2
    # Edge j is the first of `last - j` pairs and the second of j.
    first = sum(grid * ((last - j) / pairs) for j, grid in enumerate(grids[:-1]))
    second = sum(grid * (j / pairs) for j, grid in enumerate(grids[1:], start=1))
    return [first, second]
