"""The result of a search of BM-NAS, as data."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from hfmnas_keras.genotype.base_genotype import BaseGenotype
from hfmnas_keras.genotype.cell_diagram import CellDiagram, DiagramNode, shown_name
from hfmnas_keras.genotype.probability_table import ProbabilityTable
from hfmnas_keras.operations import BM_EDGE_OPERATIONS, FUSION_OPERATIONS
from hfmnas_keras.settings.space import MOST_BM_CELLS

_MAX_FEATURES = 256
_SKIP = BM_EDGE_OPERATIONS.index("skip")


@dataclasses.dataclass(frozen=True)
class BMGenotype(BaseGenotype):
    """The fusion architecture that a search of BM-NAS chose (docs/method.md, section 11).

    ```json
    {"version": 1, "model": "bm_nas",
     "features": ["text_low", "image_low", "text_high", "image_high"],
     "cells": [{"features": ["text_low", "image_high"],
                "steps": [{"inputs": [0, 1], "operation": "linear_glu"}]}, ...],
     "metadata": {}}
    ```

    Args:
        cells: tuple of dicts: `features`, the names of x and y; `steps`, dicts of `inputs`, the numbers of two
            earlier states (0 is x, 1 is y, 2 + n is step n), and `operation`.
        features: tuple of str. The features that the search chose from, in the order of its edges. Left out, those
            that the cells read.
        metadata: mapping of JSON-able values that say where the genotype comes from.

    Raises:
        ValueError: when the parts are not of this form; the message names the place.
    """

    model: ClassVar[str] = "bm_nas"
    _keys: ClassVar[frozenset[str]] = frozenset({"features", "cells"})
    _optional_keys: ClassVar[frozenset[str]] = frozenset({"features"})

    cells: tuple[Mapping[str, Any], ...]
    features: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.cells, (tuple, list)) or not 1 <= len(self.cells) <= MOST_BM_CELLS:
            raise ValueError(f"`cells` must be a list of 1 to {MOST_BM_CELLS} cells. Received: {self.cells!r}.")
        cells = tuple(_checked_cell(f"cells[{i}]", cell) for i, cell in enumerate(self.cells))
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "features", _checked_features(self.features, self.read_features))
        self._freeze_metadata()

    @property
    def read_features(self) -> tuple[str, ...]:
        """The features that its cells read, each once."""
        return tuple(dict.fromkeys(name for cell in self.cells for name in cell["features"]))

    @property
    def size(self) -> str:
        steps = len(self.cells[0]["steps"])
        return f"BM-NAS, cells: {len(self.cells)}, steps a cell: {steps}"

    def diagram(self) -> tuple[CellDiagram, ...]:
        """Its cells as they are shown; that x is added on the way out is a part of each."""
        return tuple(_diagram_of(number, cell) for number, cell in enumerate(self.cells))

    def labels(self, importance: bool = True) -> dict[str, str]:
        """All that was chosen, by label; there is no importance."""
        labels = {"model": self.model, "features": ", ".join(self.features)}
        for number, cell in enumerate(self.cells):
            labels[f"cell_{number}/features"] = ", ".join(cell["features"])
            for index, step in enumerate(cell["steps"]):
                labels[f"cell_{number}/step_{index}/inputs"] = ", ".join(map(str, step["inputs"]))
                labels[f"cell_{number}/step_{index}/operation"] = step["operation"]
        return labels

    def probability_tables(self) -> dict[str, ProbabilityTable]:
        """Names for `cell_0/gamma` (features and earlier cells), `cell_0/step_1/gamma` (earlier states), `cell_0/beta`.

        The first step has two states to read, x and y, and nothing to choose: its edges are `cell_0/step_0/mixing`.
        """
        tables = {}
        for number, cell in enumerate(self.cells):
            steps = tuple(f"step {index}" for index in range(len(cell["steps"])))
            states = ("x", "y", *steps)
            sources = (*map(shown_name, self.features), *(f"cell {earlier}" for earlier in range(number)))
            read = tuple(self.features.index(name) for name in cell["features"])
            tables[f"cell_{number}/gamma"] = ProbabilityTable(sources, BM_EDGE_OPERATIONS, read)
            for index, step in enumerate(cell["steps"]):
                label = f"cell_{number}/{edges_label(index)}"
                tables[label] = ProbabilityTable(states[: 2 + index], BM_EDGE_OPERATIONS, tuple(step["inputs"]))
            tables[f"cell_{number}/beta"] = ProbabilityTable(steps, FUSION_OPERATIONS, tuple(range(len(steps))))
        return tables

    def lead_of_features(self, probabilities: Mapping[str, np.ndarray]) -> float | None:
        """Mean lead of the chosen pairs over the next best admissible ones, in products of probabilities of `skip`."""
        leads = []
        earlier: set[int] = set()
        for number, cell in enumerate(self.cells):
            skip = np.asarray(probabilities[f"cell_{number}/gamma"], "float64")[:, _SKIP]
            chosen = sorted(self.features.index(name) for name in cell["features"])
            others = [pair for pair in admissible_pairs(len(self.features), earlier) if pair != tuple(chosen)]
            if others:
                leads.append(skip[chosen].prod() - max(skip[j] * skip[k] for j, k in others))
            earlier.update(chosen)
        return float(np.mean(leads)) if leads else None

    def _content(self) -> dict[str, Any]:
        return {"features": list(self.features), "cells": list(self.cells)}

    @classmethod
    def _from_content(cls, content: dict[str, Any], metadata: dict[str, Any]) -> BMGenotype:
        return cls(content["cells"], content.get("features", ()), metadata)


def edges_label(step: int) -> str:
    """Label, within its cell, of the edges that a step reads: those of the first are no choice."""
    return f"step_{step}/gamma" if step else "step_0/mixing"


def admissible_pairs(num_features: int, read: set[int]) -> list[tuple[int, int]]:
    """The pairs of features that the next cell may read: those with one that no earlier cell reads, or else all."""
    pairs = list(itertools.combinations(range(num_features), 2))
    return [pair for pair in pairs if not read.issuperset(pair)] or pairs


def discretise_bm(
    feature_names: Sequence[str], upper: np.ndarray, inner: np.ndarray, operations: np.ndarray, inner_steps: int
) -> BMGenotype:
    """Chooses features, inner edges and operations from probabilities (docs/method.md, section 11).

    Args:
        feature_names: names of the F inputs of the graph.
        upper: array `(cells, F + cells)`: probability of `skip` from every feature and every earlier cell.
        inner: array `(cells, steps, 1 + steps)`: probability of `skip` from every earlier state.
        operations: array `(cells, steps, 4)`.
        inner_steps: int.

    Returns:
        `BMGenotype`. Each cell reads the pair of features whose product of `skip` probabilities is largest among the
        pairs with a feature that no earlier cell reads; where all are read, among all. Each step reads the two
        earlier states of largest probability, by rising index. Ties go to the lower index.

    Raises:
        ValueError: when a probability is NaN.
    """
    if not all(np.isfinite(array).all() for array in (upper, inner, operations)):
        raise ValueError("The probabilities hold NaN: the search has diverged. Lower its learning rate.")
    read: set[int] = set()
    cells = []
    for cell in range(len(upper)):
        pairs = admissible_pairs(len(feature_names), read)
        chosen = max(pairs, key=lambda pair: upper[cell, pair[0]] * upper[cell, pair[1]])
        read.update(chosen)
        steps = []
        for step in range(inner_steps):
            strongest = np.argsort(-inner[cell, step, : 2 + step], kind="stable")[:2]
            steps.append(
                {
                    "inputs": sorted(int(state) for state in strongest),
                    "operation": FUSION_OPERATIONS[int(operations[cell, step].argmax())],
                }
            )
        cells.append({"features": [feature_names[number] for number in chosen], "steps": steps})
    return BMGenotype(tuple(cells), tuple(feature_names))


def _diagram_of(number: int, cell: Mapping[str, Any]) -> CellDiagram:
    first, second = map(shown_name, cell["features"])
    nodes = tuple(
        DiagramNode(2 + index, f"step {index}", step["operation"], tuple(step["inputs"]), ("", ""))
        for index, step in enumerate(cell["steps"])
    )
    return CellDiagram(
        name=f"cell_{number}",
        title=f"cell {number}",
        summary=f"x = {first}, y = {second}",
        inputs=(first, second),
        nodes=nodes,
        outputs={**{node.place: "" for node in nodes}, 0: ""},
        remark=f"output = {', '.join(node.name for node in nodes)}; {first} added",
    )


def _checked_features(features: Any, read: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(features, (list, tuple)) or not all(isinstance(name, str) for name in features):
        raise ValueError(f"`features` must be a list of names. Received: {features!r}.")
    if not features:
        return tuple(read)
    if len(features) > _MAX_FEATURES or len(set(features)) != len(features):
        raise ValueError(f"`features` must be {_MAX_FEATURES} distinct names at most. Received: {features!r}.")
    if missing := sorted(set(read) - set(features)):
        raise ValueError(f"The cells read {missing}, which are not among `features`: {list(features)}.")
    return tuple(features)


def _checked_cell(place: str, cell: Any) -> dict[str, Any]:
    if not isinstance(cell, Mapping) or set(cell) != {"features", "steps"}:
        raise ValueError(f"`{place}` must have `features` and `steps`. Received: {cell!r}.")
    features, steps = cell["features"], cell["steps"]
    if not isinstance(features, (list, tuple)) or len(features) != 2 or not all(isinstance(f, str) for f in features):
        raise ValueError(f"`{place}.features` must be two names. Received: {features!r}.")
    if not isinstance(steps, (list, tuple)) or not 1 <= len(steps) <= MOST_BM_CELLS:
        raise ValueError(f"`{place}.steps` must be a list of 1 to {MOST_BM_CELLS} steps. Received: {steps!r}.")
    checked = []
    for number, step in enumerate(steps):
        if not isinstance(step, Mapping) or set(step) != {"inputs", "operation"}:
            raise ValueError(f"`{place}.steps[{number}]` must have `inputs` and `operation`. Received: {step!r}.")
        inputs = step["inputs"]
        known = range(2 + number)
        if (
            not isinstance(inputs, (list, tuple))
            or len(inputs) != 2
            or not all(type(state) is int and state in known for state in inputs)
        ):
            raise ValueError(
                f"`{place}.steps[{number}].inputs` must be two numbers from 0 to {1 + number}. Received: {inputs!r}."
            )
        if step["operation"] not in FUSION_OPERATIONS:
            raise ValueError(
                f"`{place}.steps[{number}].operation` must be one of {', '.join(FUSION_OPERATIONS)}. "
                f"Received: {step['operation']!r}."
            )
        checked.append({"inputs": list(inputs), "operation": step["operation"]})
    return {"features": list(features), "steps": checked}
