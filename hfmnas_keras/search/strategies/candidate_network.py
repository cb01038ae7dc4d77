"""One network that is the searched model of any genotype, which is among its inputs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hfmnas_keras.cell.searched_cell import SearchedCell, pair_of
from hfmnas_keras.genotype.genotype import CELLS, Genotype
from hfmnas_keras.layers.normalization import layer_normalization
from hfmnas_keras.models.parts.taps import check_taps
from hfmnas_keras.search.strategies.candidate_layers import (
    COMMON_NAMES,
    cell_layer,
    common_layers,
    copy_weights,
    edge_layer,
    node_layer,
)
from hfmnas_keras.search.strategies.operation_bank import OperationBank, is_seed
from hfmnas_keras.settings.fusion import FusionSettings, MitigationSettings
from hfmnas_keras.settings.space import SpaceSettings


class CandidateNetwork(keras.Model):
    """The searched model of whichever genotype it was given last, its step traced once for all genotypes.

    Which operation stands in a place, which nodes it reads and which are kept are variables. A branch for each
    operation is in the graph, and the chosen one alone is computed (`OperationBank`), so that a step costs what that of
    the searched model does. The layers are the searched model's, and so are the numbers: given its weights, it returns
    its logits.

    Candidates share the network one after the other: `draw` starts one, and `variables` are all that it is.

    Args:
        feature_shapes: dict from feature name to shape without the batch.
        num_outputs: int. Classes or labels.
        fusion: `FusionSettings`.
        mitigation: `MitigationSettings`.
        space: `SpaceSettings`, from which all genotypes are.
        channels: int. Width C. There is one cell a branch, and no sequence encoder.

    Call arguments:
        inputs: dict of features `(batch, *shape)` by name; further ones are ignored.

    Returns:
        dict of `logits`, float32 `(batch, num_outputs)`, as a `TrainingStep` takes it.
    """

    built: bool

    def __init__(
        self,
        feature_shapes: Mapping[str, Sequence[int]],
        num_outputs: int,
        fusion: FusionSettings,
        mitigation: MitigationSettings,
        space: SpaceSettings,
        channels: int,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.fusion = fusion
        self.mitigation = mitigation
        self.space = space
        self.channels = channels
        self.num_outputs = num_outputs
        self.feature_shapes = {name: tuple(feature_shapes[name]) for name in check_taps(feature_shapes, fusion)}
        self.taps = (*fusion.lfbc_taps, *fusion.hfbc_taps)
        self._grid_shape = (None, *fusion.grid, self.channels)
        # Node i has so many edges, of which it reads two or more.
        self._edges_of_node = [min(self.space.kept_edges, 2 + index) for index in range(self.space.num_nodes)]
        self._first_edge = np.cumsum([0, *self._edges_of_node])
        # Not among this model's layers: the banks never read their own weights.
        edges = [name for name in space.edge_operations if name != "none"]
        self._edge_bank = OperationBank({name: edge_layer(name, fusion, channels) for name in edges}, 1)
        nodes = space.node_operations
        self._node_bank = OperationBank({name: node_layer(name, fusion, channels) for name in nodes}, 2)
        self.build({name: (None, *shape) for name, shape in self.feature_shapes.items()})

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        places = {"edges": 2 * int(self._first_edge[-1]), "nodes": 2 * self.space.num_nodes}
        self._rows = {}
        for name, bank in (("edges", self._edge_bank), ("nodes", self._node_bank)):
            decayed, others, kept = bank.sizes
            # What the decay spares is told by the name, see `is_decayed`.
            self._rows[name] = [
                self.add_weight(shape=(places[name], decayed), initializer="zeros", name=f"{name}_kernels"),
                self.add_weight(shape=(places[name], others), initializer="zeros", name=f"{name}_bias"),
                self.add_weight(shape=(places[name], kept), initializer="zeros", trainable=False, name=f"{name}_kept"),
            ]
        self._numbers = {name: self._choice((count,), f"{name}_numbers", "int32") for name, count in places.items()}
        self._predecessors = self._choice((places["edges"],), "predecessors", "int32")
        self._kept_nodes = self._choice((2, self.space.kept_nodes), "kept_nodes", "int32")
        self._scales = self._choice((2, self.space.kept_nodes), "scales", "float32")
        self.parts = self._common_layers()
        self.output_norm = layer_normalization(affine=False, dtype=self.dtype_policy, name="output_norm")
        self.output_norm.build((*self._grid_shape[:-1], self.space.kept_nodes, self.channels))
        self.flatten = keras.layers.Flatten(name="flatten")
        self.seeds = keras.random.SeedGenerator(0, name="places")
        self.built = True

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        *grids, mitigation, head = self.parts
        edge_rows, node_rows = (
            list(zip(*(tf.unstack(tf.convert_to_tensor(variable)) for variable in self._rows[name]), strict=True))
            for name in ("edges", "nodes")
        )
        edge_numbers, node_numbers = (
            tf.unstack(tf.convert_to_tensor(self._numbers[name])) for name in ("edges", "nodes")
        )
        predecessors = tf.unstack(tf.convert_to_tensor(self._predecessors))
        seed: Any = self.seeds.next() if training else None
        after: dict[str, list[Any]] = {"edges": [], "nodes": []}

        def place(name: str, bank: Any, number: Any, grids: Any, row: Any) -> Any:
            if not training:
                return bank.infer(number, grids, row)
            # Another mask for each place.
            which = len(after["edges"]) + len(after["nodes"]) + 1
            output, kept = bank.train(number, grids, row, seed + tf.cast([0x1B873593 * which % 2**31, 0], seed.dtype))
            after[name].append(kept)
            return output

        branches = []
        for cell in range(2):
            features = [
                grid(inputs[tap], training=training)
                for grid, tap in zip(grids[2 * cell : 2 * cell + 2], self.taps[2 * cell : 2 * cell + 2], strict=True)
            ]
            sources = tf.stack(features)
            for index, num_edges in enumerate(self._edges_of_node):
                first = int(self._first_edge[index] + cell * self._first_edge[-1])
                edges = [
                    place(
                        "edges",
                        self._edge_bank,
                        edge_numbers[edge],
                        [_picked(sources, predecessors[edge])],
                        edge_rows[edge],
                    )
                    for edge in range(first, first + num_edges)
                ]
                node = cell * self.space.num_nodes + index
                output = place("nodes", self._node_bank, node_numbers[node], pair_of(edges), node_rows[node])
                sources = tf.concat([sources, output[None]], 0)
            branches.append(self._cell_output(sources[2:], cell))
        if training:
            for name, rows in after.items():
                self._rows[name][2].assign(tf.stack(rows))
        fused = mitigation(branches, training=training)
        return {"logits": head(self.flatten(fused))}

    def draw(self, genotype: Genotype, seed: int) -> None:
        """Gives it a genotype and fresh weights, drawn as the layers of a searched model draw theirs.

        Args:
            genotype: `Genotype` with as many nodes, kept nodes and edges as the settings say.
            seed: int. Of the weights and of dropout.

        Raises:
            ValueError: when the genotype is of another size.
        """
        self._check(genotype)
        self._assign_choices(genotype)
        keras.utils.set_random_seed(seed)
        for part, fresh in zip(self.parts, self._common_layers(), strict=True):
            copy_weights(fresh, part)
        for variable in itertools.chain.from_iterable(self._rows.values()):
            variable.assign(np.zeros(variable.shape))
        self._take({name: cell_layer(genotype, name, self.fusion, self.channels) for name in CELLS})
        generator = np.random.default_rng([seed, 5])
        for variable in self.variables:
            if is_seed(variable):
                variable.assign(np.array([generator.integers(2**31), 0]))

    def take_weights(self, genotype: Genotype, model: keras.Model) -> None:
        """Gives it a genotype and the weights of its searched model."""
        self._check(genotype)
        self._assign_choices(genotype)
        for part, name in zip(self.parts, COMMON_NAMES, strict=True):
            copy_weights(model.get_layer(name), part)
        self._take({name: model.get_layer(f"{name}_cell_1") for name in CELLS})

    def give_weights(self, genotype: Genotype, model: keras.Model) -> None:
        """Gives the searched model of the present genotype the weights that this one has.

        Args:
            genotype: `Genotype`, the one it has.
            model: what `searched_model` returns for it, at this width, without a sequence encoder.
        """
        for part, name in zip(self.parts, COMMON_NAMES, strict=True):
            copy_weights(part, model.get_layer(name))
        rows = {
            name: [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
            for name, variables in self._rows.items()
        }
        for name, bank, number, layer in self._places({name: model.get_layer(f"{name}_cell_1") for name in CELLS}):
            bank.assign(layer, [part[number] for part in rows[name]])

    def _take(self, cells: Mapping[str, SearchedCell]) -> None:
        rows = {
            name: [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
            for name, variables in self._rows.items()
        }
        for name, bank, number, layer in self._places(cells):
            for part, values in zip(rows[name], bank.row(layer), strict=True):
                part[number] = values
        for name, variables in self._rows.items():
            for variable, values in zip(variables, rows[name], strict=True):
                variable.assign(values)

    def _places(
        self, cells: Mapping[str, SearchedCell]
    ) -> Iterator[tuple[str, OperationBank, int, keras.layers.Layer]]:
        """Kind, bank, number and layer of each place that a genotype has."""
        for cell, name in enumerate(CELLS):
            searched = cells[name]
            choices = zip(searched.cell_genotype.nodes, searched.edges_of_node(), searched.nodes, strict=True)
            for choice, edges, node in choices:
                first = int(self._first_edge[choice.index] + cell * self._first_edge[-1])
                for position, edge in enumerate(edges):
                    yield "edges", self._edge_bank, first + position, edge
                yield "nodes", self._node_bank, cell * self.space.num_nodes + choice.index, node

    def _assign_choices(self, genotype: Genotype) -> None:
        numbers = {name: np.zeros(variable.shape, "int32") for name, variable in self._numbers.items()}
        predecessors = np.zeros(self._predecessors.shape, "int32")
        for cell, chosen in enumerate(genotype.cells.values()):
            for choice in chosen.nodes:
                numbers["nodes"][cell * self.space.num_nodes + choice.index] = self._node_bank.operations.index(
                    choice.fusion
                )
                first = int(self._first_edge[choice.index] + cell * self._first_edge[-1])
                for position, (predecessor, edge) in enumerate(zip(choice.predecessors, choice.edges, strict=True)):
                    numbers["edges"][first + position] = self._edge_bank.operations.index(edge)
                    predecessors[first + position] = predecessor
        for name, variable in self._numbers.items():
            variable.assign(numbers[name])
        self._predecessors.assign(predecessors)
        self._kept_nodes.assign([cell.kept for cell in genotype.cells.values()])
        self._scales.assign([[cell.scales[node] for node in cell.kept] for cell in genotype.cells.values()])

    def _cell_output(self, nodes: Any, cell: int) -> Any:
        # (batch, height, width, kept nodes, channels)
        kept = tf.unstack(tf.convert_to_tensor(self._kept_nodes)[cell])
        outputs = self.output_norm(tf.stack([_picked(nodes, index) for index in kept], axis=-2))
        outputs = outputs * tf.cast(tf.convert_to_tensor(self._scales)[cell][:, None], outputs.dtype)
        return tf.reshape(outputs, (-1, *self.fusion.grid, self.space.kept_nodes * self.channels))

    def _common_layers(self) -> list[keras.layers.Layer]:
        return common_layers(
            self.feature_shapes, self.num_outputs, self.fusion, self.mitigation, self.space.kept_nodes, self.channels
        )

    def _choice(self, shape: Any, name: str, dtype: Any) -> Any:
        return self.add_weight(
            shape=shape, initializer="zeros", trainable=False, dtype=dtype, autocast=False, name=name
        )

    def _check(self, genotype: Genotype) -> None:
        for name, cell in genotype.cells.items():
            edges = {
                len(choice.edges) == self._edges_of_node[choice.index] for choice in cell.nodes[: self.space.num_nodes]
            }
            received = (cell.num_nodes, len(cell.kept))
            if received != (self.space.num_nodes, self.space.kept_nodes) or edges != {True}:
                raise ValueError(
                    f"A candidate has {self.space.num_nodes} nodes a cell, keeps {self.space.kept_nodes} of them, and "
                    f"{self.space.kept_edges} edges a node. Received: a {name} of {cell.num_nodes} nodes, "
                    f"{len(cell.kept)} kept. Draw it with the same settings."
                )


def _picked(grids: Any, index: Any) -> Any:
    """One of a stack of grids, as a product, whose gradient is a product too and the same in each run."""
    flat = tf.reshape(grids, (grids.shape[0], -1))
    return tf.reshape(tf.matmul(tf.one_hot([index], grids.shape[0], dtype=flat.dtype), flat), tf.shape(grids)[1:])
