"""The result of a search, as data."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import types
from collections.abc import Mapping
from typing import Any

from hfmnas_keras.atomic_file import atomic_file
from hfmnas_keras.genotype.cell_genotype import CellGenotype

CELLS = ("lfbc", "hfbc")
VERSION = 1

_MAX_CHARACTERS = 1_000_000
_KEYS = {"version", "num_nodes", "cells", "kept", "importance", "metadata"}


@dataclasses.dataclass(frozen=True)
class Genotype:
    """The fusion architecture that a search chose: a genotype is a mapping from labels to names.

    ```json
    {"version": 1, "num_nodes": 4,
     "cells": {"lfbc/node_2/edge_0": "sep_conv_3x3", "lfbc/node_2/edge_3": "skip",
               "lfbc/node_2/fusion": "linear_glu", ...},
     "kept": {"lfbc": [0, 1, 2], "hfbc": [1, 2, 3]},
     "importance": {"lfbc/node_2": 0.31, ...},
     "metadata": {"seed": 0, ...}}
    ```

    `edge_3` comes from predecessor 3, that is from node 1 (0 and 1 are the cell's inputs). `importance` (the softmax
    of w over all nodes) and `metadata` may be left out of a genotype written by hand.

    Args:
        lfbc, hfbc: `CellGenotype`s of the low and of the high branch (method section 4).
        metadata: mapping of JSON-able values that say where the genotype comes from: seed, taps, date, ...

    Raises:
        ValueError: when the cells differ in their number of nodes or the metadata cannot be written as JSON.

    Example:
    >>> genotype = Genotype.load("genotype.json")
    >>> model = searched_model(genotype, feature_shapes, num_outputs=5, fusion=FusionSettings())
    """

    lfbc: CellGenotype
    hfbc: CellGenotype
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self):
        for name in CELLS:
            if not isinstance(getattr(self, name), CellGenotype):
                raise ValueError(f"`{name}` must be a `CellGenotype`. Received: {getattr(self, name)!r}.")
        if self.lfbc.num_nodes != self.hfbc.num_nodes:
            raise ValueError(
                f"Both cells have the same number of nodes. Received: {self.lfbc.num_nodes} in the LFBC and "
                f"{self.hfbc.num_nodes} in the HFBC."
            )
        try:
            metadata = json.loads(json.dumps(dict(self.metadata), allow_nan=False, sort_keys=True))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"`metadata` must be a mapping of JSON values, all finite: {error}.") from error
        object.__setattr__(self, "metadata", types.MappingProxyType(metadata))

    @property
    def num_nodes(self) -> int:
        return self.lfbc.num_nodes

    @property
    def cells(self) -> dict[str, CellGenotype]:
        """Both cells by name, `"lfbc"` first."""
        return {name: getattr(self, name) for name in CELLS}

    def to_json(self) -> str:
        """JSON text, one choice a line, always the same for the same genotype."""
        content = {
            "version": VERSION,
            "num_nodes": self.num_nodes,
            "cells": {
                f"{name}/{label}": choice
                for name, cell in self.cells.items()
                for label, choice in cell.to_labels().items()
            },
            "kept": {name: list(cell.kept) for name, cell in self.cells.items()},
            "importance": {
                f"{name}/node_{index}": share
                for name, cell in self.cells.items()
                for index, share in enumerate(cell.importance)
            },
            "metadata": dict(self.metadata),
        }
        text = json.dumps(content, indent=2, allow_nan=False)
        # `kept` reads better on one line.
        return re.sub(r"\[[\s\d,]*\]", lambda match: " ".join(match[0].split()), text) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Genotype:
        """Reads a genotype and checks all of it; the text may come from anywhere.

        Raises:
            ValueError: when the text is not a genotype of a known version: not JSON, missing or unknown keys, wrong
                types, unknown operations, cycles, numbers out of bounds.
        """
        content = _parse(text)
        _check_keys("A genotype", content, required={"version", "num_nodes", "cells", "kept"}, allowed=_KEYS)
        if content["version"] != VERSION or isinstance(content["version"], bool):
            raise ValueError(
                f"This code reads genotypes of version {VERSION}. Received: version {content['version']!r}. "
                "Search again, or use the release that wrote it."
            )
        num_nodes = content["num_nodes"]
        labels: dict[str, dict[str, str]] = {name: {} for name in CELLS}
        for label, choice in _mapping("cells", content["cells"]).items():
            name, _, rest = label.partition("/")
            if name not in labels:
                raise ValueError(f"Labels begin with one of {', '.join(CELLS)}. Received: {label!r}.")
            labels[name][rest] = choice
        kept = _mapping("kept", content["kept"])
        _check_keys("`kept`", kept, required=set(CELLS), allowed=set(CELLS))
        importance = _importance(content.get("importance"), num_nodes)
        cells = {}
        for name in CELLS:
            if not isinstance(kept[name], list):
                raise ValueError(f"`kept` of {name} must be a list of node numbers. Received: {kept[name]!r}.")
            try:
                cells[name] = CellGenotype.from_labels(labels[name], num_nodes, tuple(kept[name]), importance[name])
            except ValueError as error:
                raise ValueError(f"In the genotype of the cell `{name}`: {error}") from error
        return cls(**cells, metadata=_mapping("metadata", content.get("metadata", {})))

    def save(self, path: str | os.PathLike) -> None:
        """Writes the JSON text; a reader never sees half a file."""
        with atomic_file(path) as file:
            file.write(self.to_json().encode("utf-8"))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Genotype:
        """Reads what `save` wrote, with the checks of `from_json`."""
        with open(path, "rb") as file:
            text = file.read(_MAX_CHARACTERS + 1)
        try:
            return cls.from_json(text)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)} is not a genotype: {error}") from error


def _parse(text: str | bytes) -> dict[str, Any]:
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"A genotype takes a few kilobytes. Received: more than {_MAX_CHARACTERS:,} characters.")
    try:
        content = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"A genotype is JSON text: {error}.") from error
    return _mapping("A genotype", content)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"A key stands twice in the genotype: {repeated!r}.")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"Numbers in a genotype are finite. Received: {name}.")


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"`{name}` must be a JSON object. Received: {type(value).__name__}.")
    return value


def _check_keys(name: str, content: dict[str, Any], required: set[str], allowed: set[str]) -> None:
    missing = required - content.keys()
    unknown = content.keys() - allowed
    if missing or unknown:
        raise ValueError(
            f"{name} must have the keys {', '.join(sorted(required))}. "
            f"Missing: {', '.join(sorted(missing)) or 'none'}. Not known: {', '.join(sorted(unknown)) or 'none'}."
        )


def _importance(value: Any, num_nodes: Any) -> dict[str, tuple[float, ...]]:
    if value is None:
        return dict.fromkeys(CELLS, ())
    if not isinstance(num_nodes, int) or not 1 <= num_nodes <= 64:
        raise ValueError(f"`num_nodes` must be an int from 1 to 64. Received: {num_nodes!r}.")
    value = _mapping("importance", value)
    labels = {name: [f"{name}/node_{index}" for index in range(num_nodes)] for name in CELLS}
    expected = {label for group in labels.values() for label in group}
    _check_keys("`importance`", value, required=expected, allowed=expected)
    for label, share in value.items():
        if not isinstance(share, (int, float)) or isinstance(share, bool) or not math.isfinite(share):
            raise ValueError(f"The importance `{label}` must be a number. Received: {share!r}.")
    return {name: tuple(value[label] for label in group) for name, group in labels.items()}
