"""The supernet of BM-NAS."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from hfmnas_keras.genotype.bm_genotype import BMGenotype, discretise_bm, edges_label
from hfmnas_keras.models.bm_nas.bm_model import is_mitigated
from hfmnas_keras.models.bm_nas.fusion_cell import OpenFusionCell
from hfmnas_keras.models.bm_nas.fusion_operations import grid_normalization
from hfmnas_keras.models.parts.base_supernet import BaseSupernet
from hfmnas_keras.models.parts.feature_grid import FeatureGrid
from hfmnas_keras.models.parts.mitigation import mitigation_of
from hfmnas_keras.operations import BM_EDGE_OPERATIONS, FUSION_OPERATIONS
from hfmnas_keras.settings.space import BMSpaceSettings

_SKIP = BM_EDGE_OPERATIONS.index("skip")


@keras.saving.register_keras_serializable(package="hfmnas_keras.bm_nas")
class BMSupernet(BaseSupernet):
    """All choices of BM-NAS open (docs/method.md, section 11).

    Every cell reads, over edges of `none` and `skip`, all features and all earlier cells; the sum is passed twice, as
    x and as y. Within it each step does the same with the earlier states and mixes four operations.

    Args:
        feature_shapes, num_outputs: as of `BaseSupernet`. The taps of `fusion` are the features.
        fusion, mitigation, channels: as of `BaseSupernet`; `mitigation.in_bm_nas` decides whether there is one.
        space: `BMSpaceSettings`. Defaults to the paper's.

    Call arguments:
        inputs: dict of features.
        choices: what `choices_of` returns, to compute what the model of a genotype would with these weights. `None`
            (default): the mixtures of the present logits.

    Returns:
        Logits, float32 `(batch, num_outputs)`.
    """

    SPACE_CLASS = BMSpaceSettings
    built: bool

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        fusion = self.fusion
        cells, steps, features = self.space.cells, self.space.inner_steps, len(self.feature_names)
        if self.partial_channels > 1:
            raise ValueError(
                "The edges of BM-NAS have no operations that a part of the channels could pass. Received: "
                f"partial_channels={self.partial_channels}. Set it to 1."
            )
        if features < 2:
            raise ValueError(
                f"BM-NAS chooses pairs of features. Received: {self.feature_names}. Name two taps or more in "
                "`lfbc_taps` and `hfbc_taps`."
            )
        grid_shape = (None, *fusion.grid, self.channels)
        logits = {"initializer": keras.initializers.RandomNormal(stddev=1e-3), "autocast": False, "dtype": "float32"}
        # One row an edge, `none` and `skip`: those of cell 0 first, then those of cell 1, and so on.
        self.upper_gamma = self.add_weight(
            shape=(sum(features + cell for cell in range(cells)), 2), name="upper_gamma", **logits
        )
        self.inner_gamma = self.add_weight(
            shape=(cells * sum(2 + step for step in range(steps)), 2), name="inner_gamma", **logits
        )
        self.beta = self.add_weight(shape=(cells * steps, len(FUSION_OPERATIONS)), name="beta", **logits)
        self.feature_grids = []
        for name in self.feature_names:
            grid = FeatureGrid(
                self.channels,
                fusion.grid,
                fusion.vector_to_grid,
                dropout=fusion.dropout,
                dtype=self.dtype_policy,
                name=f"{name}_grid",
            )
            grid.build((None, *self.feature_shapes[name]))
            self.feature_grids.append(grid)
        self.cells = []
        for number in range(cells):
            cell = OpenFusionCell(
                self.channels, steps, dropout=fusion.dropout, dtype=self.dtype_policy, name=f"cell_{number}"
            )
            cell.build([grid_shape, grid_shape])
            self.cells.append(cell)
        joined_shape = (*grid_shape[:-1], cells * self.channels)
        self.mitigation = None
        if is_mitigated(self.mitigation_settings, self.cells):
            self.mitigation = mitigation_of(self.channels, fusion, self.mitigation_settings, dtype=self.dtype_policy)
            self.mitigation.build([grid_shape, grid_shape])
            joined_shape = self.mitigation.compute_output_shape([grid_shape, grid_shape])
        self.output_norm = grid_normalization(self.dtype_policy, "output_norm")
        self.output_norm.build(joined_shape)
        self.head = keras.layers.Dense(self.num_outputs, dtype="float32", name="logits")
        self.head.build((None, int(np.prod(joined_shape[1:]))))
        self.built = True

    def call(self, inputs: Any, training: bool | None = False, choices: Any = None) -> Any:
        choices = self._mixtures() if choices is None else choices
        states = [
            grid(inputs[name], training=training)
            for name, grid in zip(self.feature_names, self.feature_grids, strict=True)
        ]
        outputs = []
        for number, cell in enumerate(self.cells):
            weights = ops.cast(choices["upper"][number], self.compute_dtype)
            first, second = (
                sum(weights[which, index] * state for index, state in enumerate(states)) for which in range(2)
            )
            arguments = [first, second, choices["inner"][number], choices["operations"][number]]
            outputs.append(cell(arguments, training=training))
            states.append(outputs[-1])
        if self.mitigation is not None:
            joined = self.mitigation(outputs, training=training)
        else:
            joined = ops.concatenate(outputs, axis=-1)
        hidden = ops.relu(self.output_norm(joined))
        return self.head(ops.reshape(hidden, (-1, int(np.prod(hidden.shape[1:])))))

    @property
    def architecture_variables(self) -> list[keras.Variable]:
        """Edges of the upper level, edges of the inner level, operations."""
        return [self.upper_gamma, self.inner_gamma, self.beta]

    def genotype(self, metadata: Mapping[str, Any] | None = None) -> BMGenotype:
        """The architecture that the present logits stand for (docs/method.md, section 11).

        Args:
            metadata: mapping of JSON-able values to add to the genotype's.
        """
        mixtures = {name: np.asarray(ops.convert_to_numpy(array)) for name, array in self._mixtures().items()}
        genotype = discretise_bm(
            self.feature_names,
            mixtures["upper"][:, 0],
            mixtures["inner"][:, :, 0],
            mixtures["operations"],
            self.space.inner_steps,
        )
        return dataclasses.replace(genotype, metadata=metadata or {})

    def probabilities(self) -> dict[str, np.ndarray]:
        """Softmax of all logits by label: `cell_0/gamma` (features and earlier cells, 2), `cell_0/beta` (steps, 4), ...

        The edges within a cell are `cell_0/step_1/gamma` (earlier states, 2), those of its first step, which has no
        choice of states, `cell_0/step_0/mixing`.
        """
        upper, inner, beta = (
            ops.convert_to_numpy(ops.softmax(variable.value)) for variable in self.architecture_variables
        )
        steps = range(self.space.inner_steps)
        probabilities: dict[str, np.ndarray] = {}
        first_edge = first_inner_edge = 0
        for cell in range(self.space.cells):
            sources = len(self.feature_names) + cell
            probabilities[f"cell_{cell}/gamma"] = upper[first_edge : first_edge + sources]
            first_edge += sources
            for step in steps:
                label = f"cell_{cell}/{edges_label(step)}"
                probabilities[label] = inner[first_inner_edge : first_inner_edge + 2 + step]
                first_inner_edge += 2 + step
            probabilities[f"cell_{cell}/beta"] = beta[cell * len(steps) : (cell + 1) * len(steps)]
        return probabilities

    def choices_of(self, genotype: BMGenotype) -> dict[str, np.ndarray]:
        """A genotype as the weights that a call takes for `choices`: ones and zeros."""
        choices = {name: np.zeros(shape, "float32") for name, shape in self._shapes().items()}
        for number, cell in enumerate(genotype.cells):
            for which, name in enumerate(cell["features"]):
                choices["upper"][number, which, self.feature_names.index(name)] = 1.0
            for step in range(self.space.inner_steps):
                chosen = cell["steps"][step]
                for which, state in enumerate(chosen["inputs"]):
                    choices["inner"][number, step, which, state] = 1.0
                choices["operations"][number, step, FUSION_OPERATIONS.index(chosen["operation"])] = 1.0
        return choices

    def discretised_logits(self, inputs: Any, choices: Any) -> Any:
        """As of `BaseSupernet`."""
        return self(inputs, training=False, choices=choices)

    def _shapes(self) -> Any:
        cells, steps = self.space.cells, self.space.inner_steps
        return {
            "upper": (cells, 2, len(self.feature_names) + cells),
            "inner": (cells, steps, 2, 1 + steps),
            "operations": (cells, steps, len(FUSION_OPERATIONS)),
        }

    def _mixtures(self) -> Any:
        """The weights of all sums, x and y alike, padded with zeros where an edge does not exist."""
        shapes = self._shapes()
        cells, steps = self.space.cells, self.space.inner_steps
        upper = _padded(
            ops.softmax(self.upper_gamma)[:, _SKIP],
            [len(self.feature_names) + cell for cell in range(cells)],
            shapes["upper"][-1],
        )
        inner = _padded(
            ops.softmax(self.inner_gamma)[:, _SKIP], [2 + step for step in range(steps)] * cells, shapes["inner"][-1]
        )
        inner = ops.reshape(inner, (cells, steps, 1 + steps))
        return {
            "upper": ops.stack([upper, upper], axis=1),
            "inner": ops.stack([inner, inner], axis=2),
            "operations": ops.reshape(ops.softmax(self.beta), shapes["operations"]),
        }


def _padded(values: Any, lengths: Any, width: Any) -> Any:
    """Rows of different lengths, one after the other in `values`, as one matrix."""
    rows, start = [], 0
    for length in lengths:
        row = values[start : start + length]
        rows.append(ops.pad(row, [(0, width - length)]))
        start += length
    return ops.stack(rows)
