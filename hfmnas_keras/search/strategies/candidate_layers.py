"""The layers of searched models, as a candidate's network and its cost take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from hfmnas_keras.cell.searched_cell import SearchedCell
from hfmnas_keras.edge_operations import edge_operation
from hfmnas_keras.genotype.genotype import CELLS, Genotype
from hfmnas_keras.models.parts.feature_grid import FeatureGrid
from hfmnas_keras.models.parts.mitigation import mitigation_of
from hfmnas_keras.node_operations import node_operation
from hfmnas_keras.search.strategies.operation_bank import is_seed
from hfmnas_keras.settings.fusion import FusionSettings, MitigationSettings

#: Names of the layers that all searched models have, in the order of `common_layers`.
COMMON_NAMES = (
    *(f"{name}_input_{position}" for name in CELLS for position in (0, 1)),
    "inconsistency_mitigation",
    "logits",
)


def common_layers(
    feature_shapes: Mapping[str, Sequence[int]],
    num_outputs: int,
    fusion: FusionSettings,
    mitigation: MitigationSettings,
    kept_nodes: int,
    channels: int,
) -> list[keras.layers.Layer]:
    """What all searched models have: four projections, the mitigation and the classifier, built and freshly drawn."""
    layers: list[keras.layers.Layer] = []
    for name, tap in zip(COMMON_NAMES, (*fusion.lfbc_taps, *fusion.hfbc_taps), strict=False):
        grid = FeatureGrid(channels, fusion.grid, fusion.vector_to_grid, dropout=fusion.dropout, name=name)
        grid.build((None, *feature_shapes[tap]))
        layers.append(grid)
    cell_shape = (None, *fusion.grid, kept_nodes * channels)
    mitigation_layer = mitigation_of(channels, fusion, mitigation)
    mitigation_layer.build([cell_shape, cell_shape])
    head = keras.layers.Dense(num_outputs, dtype="float32", name="logits")
    head.build((None, int(np.prod(mitigation_layer.compute_output_shape([cell_shape, cell_shape])[1:]))))
    return [*layers, mitigation_layer, head]


def cell_layer(genotype: Genotype, name: str, fusion: FusionSettings, channels: int) -> SearchedCell:
    """A cell of a genotype, `lfbc` or `hfbc`, built and freshly drawn."""
    cell = SearchedCell(
        genotype.cells[name],
        channels,
        dropout=fusion.dropout,
        num_heads=fusion.num_heads,
        attention_values=fusion.attention_values,
        name=name,
    )
    cell.build([(None, *fusion.grid, channels)] * 2)
    return cell


def edge_layer(name: str, fusion: FusionSettings, channels: int) -> keras.layers.Layer:
    """An edge operation of a cell, built."""
    layer = edge_operation(name, channels, dropout=fusion.dropout, name=name)
    layer.build((None, *fusion.grid, channels))
    return layer


def node_layer(name: str, fusion: FusionSettings, channels: int) -> keras.layers.Layer:
    """A node operation of a cell, built."""
    layer: Any = node_operation(
        name,
        channels,
        dropout=fusion.dropout,
        num_heads=fusion.num_heads,
        values=fusion.attention_values,
        name=name,
    )
    layer.build([(None, *fusion.grid, channels)] * 2)
    return layer


def copy_weights(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Gives a layer the weights of another one of its kind, but for random state, which is each layer's own."""
    for theirs, ours in zip(source.variables, target.variables, strict=True):
        if not is_seed(ours):
            ours.assign(theirs)
