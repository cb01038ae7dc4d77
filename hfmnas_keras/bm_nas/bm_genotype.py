"""What a search of BM-NAS chose, as data."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from hfmnas_keras.bm_nas.fusion_operations import FUSION_OPERATIONS

VERSION = 1
_MAX_CHARACTERS = 1_000_000
_MAX_CELLS = 64


@dataclasses.dataclass(frozen=True)
class BMGenotype:
    """The cells of a searched BM-NAS model.

    ```json
    {"version": 1, "model": "bm_nas",
     "cells": [{"features": ["text_low", "image_high"],
                "steps": [{"inputs": [0, 1], "operation": "linear_glu"}]}, ...]}
    ```

    Args:
        cells: tuple of dicts: `features`, the names of x and y; `steps`, dicts of `inputs`, the numbers of two
            earlier states (0 is x, 1 is y, 2 + n is step n), and `operation`.

    Raises:
        ValueError: when the cells are not of this form; the message names the place.
    """

    cells: tuple[Mapping[str, Any], ...]

    def __post_init__(self):
        if not isinstance(self.cells, (tuple, list)) or not 1 <= len(self.cells) <= _MAX_CELLS:
            raise ValueError(f"`cells` must be a list of 1 to {_MAX_CELLS} cells. Received: {self.cells!r}.")
        object.__setattr__(
            self, "cells", tuple(_checked_cell(f"cells[{i}]", cell) for i, cell in enumerate(self.cells))
        )

    def to_json(self) -> str:
        """JSON text, always the same for the same genotype."""
        return json.dumps({"version": VERSION, "model": "bm_nas", "cells": list(self.cells)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> BMGenotype:
        """Reads what `to_json` writes; the text may come from anywhere.

        Raises:
            ValueError: when it is not a genotype of BM-NAS of a known version.
        """
        if len(text) > _MAX_CHARACTERS:
            raise ValueError(f"A genotype has at most {_MAX_CHARACTERS} characters. Received: {len(text)}.")
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"A genotype is JSON. Received text that is not: {error}.") from error
        if not isinstance(content, dict) or set(content) != {"version", "model", "cells"}:
            raise ValueError("A genotype of BM-NAS has the keys `version`, `model` and `cells`, and no others.")
        if content["version"] != VERSION or content["model"] != "bm_nas":
            raise ValueError(
                f'Expected version {VERSION} of the model "bm_nas". '
                f"Received: version {content['version']!r} of {content['model']!r}."
            )
        return cls(content["cells"])

    def save(self, path: str | os.PathLike) -> None:
        """Writes the JSON text."""
        pathlib.Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike) -> BMGenotype:
        """Reads a file that `save` wrote."""
        with open(path, "rb") as file:
            return cls.from_json(file.read(_MAX_CHARACTERS + 1))


def discretise_bm(
    feature_names: list[str], upper: np.ndarray, inner: np.ndarray, operations: np.ndarray, inner_steps: int
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
    """
    pairs = [(j, k) for j in range(len(feature_names)) for k in range(j + 1, len(feature_names))]
    read: set[int] = set()
    cells = []
    for cell in range(len(upper)):
        fresh = [pair for pair in pairs if not read.issuperset(pair)] or pairs
        chosen = max(fresh, key=lambda pair: upper[cell, pair[0]] * upper[cell, pair[1]])
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
    return BMGenotype(tuple(cells))


def _checked_cell(place: str, cell: Any) -> dict[str, Any]:
    if not isinstance(cell, Mapping) or set(cell) != {"features", "steps"}:
        raise ValueError(f"`{place}` must have `features` and `steps`. Received: {cell!r}.")
    features, steps = cell["features"], cell["steps"]
    if not isinstance(features, (list, tuple)) or len(features) != 2 or not all(isinstance(f, str) for f in features):
        raise ValueError(f"`{place}.features` must be two names. Received: {features!r}.")
    if not isinstance(steps, (list, tuple)) or not 1 <= len(steps) <= _MAX_CELLS:
        raise ValueError(f"`{place}.steps` must be a list of 1 to {_MAX_CELLS} steps. Received: {steps!r}.")
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
