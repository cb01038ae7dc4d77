"""The fusion network whose architecture is being searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from hfmnas_keras.cell.supernet_cell import SupernetCell
from hfmnas_keras.genotype.discretise import discretise
from hfmnas_keras.genotype.genotype import CELLS, Genotype
from hfmnas_keras.genotype.one_hot_logits import one_hot_logits
from hfmnas_keras.models.parts.base_supernet import BaseSupernet
from hfmnas_keras.models.parts.feature_grid import FeatureGrid
from hfmnas_keras.models.parts.mitigation import mitigation_of
from hfmnas_keras.settings.space import SpaceSettings


@keras.saving.register_keras_serializable(package="hfmnas_keras")
class Supernet(BaseSupernet):
    """LFBC and HFBC with all choices open, the inconsistency mitigation, and a classifier (HF-MNAS, Fig. 7-8).

    In training mode the correlation loss, times its weight, is among `losses`.

    Args:
        feature_shapes, num_outputs, fusion, mitigation, channels: as of `BaseSupernet`.
        space: `SpaceSettings`. Defaults to the paper's.
        partial_channels: int. As of `MixedEdges`. Above `1` no searched model has this supernet's weights, and
            `discretised_logits` is refused. Defaults to `1`.

    Call arguments:
        inputs: dict of features `(batch, *shape)` by name.
        discretised: bool. As of `SupernetCell`; `discretised_logits` is what uses it. Defaults to `False`.

    Returns:
        Logits, float32 `(batch, num_outputs)`.

    Example:
    >>> supernet = Supernet(train.feature_shapes, num_outputs=5, space=SpaceSettings(num_nodes=3))
    >>> logits = supernet(train.features, training=True)
    >>> supernet.genotype().save("genotype.json")

    Reference:
     - [Long et al., 2025, Fig. 7-8]; docs/method.md, sections 3-6
    """

    SPACE_CLASS = SpaceSettings
    built: bool

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        fusion = self.fusion
        self.taps = {"lfbc": tuple(fusion.lfbc_taps), "hfbc": tuple(fusion.hfbc_taps)}
        grid_shape = (None, *fusion.grid, self.channels)
        # Both inputs of a cell may be the same feature: each has a projection of its own (unimodal runs).
        # One flat list: of a nested one a `.keras` file would hold no weights.
        self.feature_grids = []
        self.cells = {}
        for name in CELLS:
            for position, tap in enumerate(self.taps[name]):
                feature_grid = FeatureGrid(
                    self.channels,
                    fusion.grid,
                    fusion.vector_to_grid,
                    dropout=fusion.dropout,
                    dtype=self.dtype_policy,
                    name=f"{name}_input_{position}",
                )
                feature_grid.build((None, *self.feature_shapes[tap]))
                self.feature_grids.append(feature_grid)
            cell = self._make_cell(name)
            cell.build([grid_shape, grid_shape])
            self.cells[name] = cell
        cell_shape = self.cells["lfbc"].compute_output_shape([grid_shape, grid_shape])
        self.inconsistency_mitigation = mitigation_of(
            self.channels, fusion, self.mitigation_settings, dtype=self.dtype_policy
        )
        self.inconsistency_mitigation.build([cell_shape, cell_shape])
        fused_shape = self.inconsistency_mitigation.compute_output_shape([cell_shape, cell_shape])
        self.flatten = keras.layers.Flatten(dtype=self.dtype_policy, name="flatten")
        self.flatten.build(fused_shape)
        self.head = keras.layers.Dense(self.num_outputs, dtype="float32", name="logits")
        self.head.build((None, int(np.prod(fused_shape[1:]))))
        self.built = True

    def call(self, inputs: Any, training: bool | None = False, discretised: bool = False) -> Any:
        branches = []
        for name in CELLS:
            grids = [
                feature_grid(inputs[tap], training=training)
                for tap, feature_grid in zip(self.taps[name], self.feature_grids_of(name), strict=True)
            ]
            branches.append(self.cells[name](grids, training=training, discretised=discretised))
        fused = self.inconsistency_mitigation(branches, training=training)
        return self.head(self.flatten(fused))

    def choices_of(self, genotype: Genotype) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """A genotype as arrays by cell: one-hot logits gamma and beta, and 1 for each node in the cell's output."""
        choices = {}
        for name, cell in genotype.cells.items():
            in_output = np.isin(np.arange(cell.num_nodes), cell.kept).astype("float32")
            choices[name] = (*one_hot_logits(cell, genotype.edge_operations, genotype.node_operations), in_output)
        return choices

    def discretised_logits(self, inputs: Any, choices: Any) -> Any:
        """As of `BaseSupernet`: the searched model has one cell a branch and no sequence encoder.

        Raises:
            ValueError: for partial channels: the searched model's operations are wider than this supernet's.
        """
        if self.partial_channels > 1:
            raise ValueError(
                "No searched model has the weights of a supernet whose operations see a part of the channels. "
                f"Received: partial_channels={self.partial_channels}."
            )
        state = []
        # The searched model's mitigation reads the kept nodes alone: the others' rows in its first kernels are zeros.
        for name, hidden in zip(CELLS, self.inconsistency_mitigation.hidden_layers, strict=True):
            gamma, beta, in_output = choices[name]
            rows = ops.repeat(ops.cast(in_output, hidden.kernel.dtype), self.channels)
            state += [
                (self.cells[name].gamma, ops.convert_to_tensor(gamma)),
                (self.cells[name].beta, ops.convert_to_tensor(beta)),
                (hidden.kernel, hidden.kernel.value * ops.expand_dims(rows, -1)),
            ]
        with keras.StatelessScope(state_mapping=state):
            return self(inputs, training=False, discretised=True)

    def _make_cell(self, name: str) -> Any:
        return SupernetCell(
            self.channels,
            num_nodes=self.space.num_nodes,
            node_inputs=self.space.node_inputs,
            dropout=self.fusion.dropout,
            num_heads=self.fusion.num_heads,
            attention_values=self.fusion.attention_values,
            partial_channels=self.partial_channels,
            **self._searched_operations,
            dtype=self.dtype_policy,
            name=name,
        )

    @property
    def _searched_operations(self) -> Any:
        return {name: getattr(self.space, name) for name in ("edge_operations", "node_operations")}

    def feature_grids_of(self, cell: str) -> list[FeatureGrid]:
        """The projections of the two inputs of a cell, `"lfbc"` or `"hfbc"`."""
        first = 2 * CELLS.index(cell)
        return self.feature_grids[first : first + 2]

    @property
    def architecture_variables(self) -> list[keras.Variable]:
        """Gamma and beta of the LFBC, then of the HFBC (Eq. 29)."""
        return [variable for name in CELLS for variable in (self.cells[name].gamma, self.cells[name].beta)]

    def genotype(self, metadata: Mapping[str, Any] | None = None) -> Genotype:
        """The architecture that the present logits stand for (Eq. 12).

        Args:
            metadata: mapping of JSON-able values to add to the genotype's, which names the taps.
        """
        space = self.space
        chosen: dict[str, Any] = {}
        for name, cell in self.cells.items():
            gamma, beta, importance = map(ops.convert_to_numpy, (cell.gamma, cell.beta, cell.importance))
            chosen[name] = discretise(
                gamma, beta, importance, space.kept_nodes, space.kept_edges, **self._searched_operations
            )
        taps = {f"{name}_taps": list(taps) for name, taps in self.taps.items()}
        settings = {"node_inputs": space.node_inputs, "attention_values": self.fusion.attention_values}
        return Genotype(**chosen, metadata={**taps, **settings, **(metadata or {})}, **self._searched_operations)

    def probabilities(self) -> dict[str, np.ndarray]:
        """Softmax of all logits by label: `lfbc/gamma` (edges, operations), `lfbc/beta`, `lfbc/importance`, ..."""
        return {
            f"{name}/{variable}": values
            for name, cell in self.cells.items()
            for variable, values in cell.probabilities().items()
        }
