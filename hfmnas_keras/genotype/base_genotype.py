"""What the genotypes of all search spaces have in common."""

from __future__ import annotations

import abc
import json
import os
import re
import types
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np

from hfmnas_keras.atomic_file import atomic_file
from hfmnas_keras.genotype.cell_diagram import CellDiagram
from hfmnas_keras.genotype.json_text import MAX_CHARACTERS, check_keys, checked_mapping, parse_object
from hfmnas_keras.genotype.probability_table import ProbabilityTable

VERSION = 1

_HEADER = ("version", "model")
#: What a genotype's JSON object has beside the network that it describes.
_BESIDE_THE_CHOICES = ("importance", "metadata", "edge_operations", "node_operations")

AnyGenotype = TypeVar("AnyGenotype", bound="BaseGenotype")


class BaseGenotype(abc.ABC):
    """The architecture that a search chose, as data: a JSON text that people can read and compare.

    The text says by which method (`model`) and in which version of the form it is. `describe`, `differences`, `draw`,
    `to_dot` and `to_mermaid` take the genotypes of all methods; `load_genotype` reads them.

    Attributes:
        model: str. The method, one of `SEARCHED_MODELS` of `hfmnas_keras.settings.models`.
        metadata: mapping of JSON values that say where the genotype comes from.
    """

    model: ClassVar[str]
    metadata: Mapping[str, Any]

    @property
    @abc.abstractmethod
    def size(self) -> str:
        """The size of what was searched, in a few words."""

    @abc.abstractmethod
    def diagram(self) -> tuple[CellDiagram, ...]:
        """Its cells as they are shown."""

    @abc.abstractmethod
    def labels(self, importance: bool = True) -> dict[str, str]:
        """All that was chosen, by label.

        Args:
            importance: bool. Whether shares of importance are among it. Defaults to `True`.
        """

    @abc.abstractmethod
    def probability_tables(self) -> dict[str, ProbabilityTable]:
        """Names for the arrays of gamma and beta that a search chose it from, by label, cell by cell."""

    def lead_of_features(self, probabilities: Mapping[str, np.ndarray]) -> float | None:
        """By how much the features that its cells read lead those that would have been next, in the mean.

        Args:
            probabilities: arrays by label, those that it was chosen from.

        Returns:
            float, or None where the features are not searched.
        """
        return None

    @abc.abstractmethod
    def _content(self) -> dict[str, Any]:
        """The JSON object without version, model and metadata."""

    @classmethod
    @abc.abstractmethod
    def _from_content(cls: type[AnyGenotype], content: dict[str, Any], metadata: dict[str, Any]) -> AnyGenotype:
        """Checks what `_content` makes, and is made of it."""

    #: Keys of `_content`, and those of them that may be left out.
    _keys: ClassVar[frozenset[str]]
    _optional_keys: ClassVar[frozenset[str]]

    def to_json(self) -> str:
        """JSON text, one choice a line, always the same for the same genotype."""
        content = {"version": VERSION, "model": self.model, **self._content(), "metadata": dict(self.metadata)}
        text = json.dumps(content, indent=2, allow_nan=False)
        # A list of numbers reads better on one line.
        return re.sub(r"\[[\s\d,]*\]", lambda match: " ".join(match[0].split()), text) + "\n"

    @classmethod
    def from_json(cls: type[AnyGenotype], text: str | bytes) -> AnyGenotype:
        """Reads a genotype of this class and checks all of it; the text may come from anywhere.

        Raises:
            ValueError: when the text is not a genotype of this method and a known version: not JSON, missing or
                unknown keys, wrong types, unknown operations, cycles, numbers out of bounds.
        """
        return cls.from_content(parse_object(text))

    @classmethod
    def from_content(cls: type[AnyGenotype], content: dict[str, Any]) -> AnyGenotype:
        """Reads the JSON object of a genotype, as `from_json` does its text."""
        model = model_of(content)
        if model != cls.model:
            raise ValueError(f"Expected a genotype of the model {cls.model!r}. Received: one of {model!r}.")
        required = cls._keys - cls._optional_keys | {"version"}
        check_keys("A genotype", content, required=required, allowed=cls._keys | {*_HEADER, "metadata"})
        if content["version"] != VERSION or isinstance(content["version"], bool):
            raise ValueError(
                f"This code reads genotypes of version {VERSION}. Received: version {content['version']!r}. "
                "Search again, or use the release that wrote it."
            )
        return cls._from_content(content, checked_mapping("metadata", content.get("metadata", {})))

    def save(self, path: str | os.PathLike) -> None:
        """Writes the JSON text; a reader never sees half a file."""
        with atomic_file(path) as file:
            file.write(self.to_json().encode("utf-8"))

    @classmethod
    def load(cls: type[AnyGenotype], path: str | os.PathLike) -> AnyGenotype:
        """Reads what `save` wrote, with the checks of `from_json`."""
        text = read_text(path)
        try:
            return cls.from_json(text)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)} is not a genotype: {error}") from error

    def _freeze_metadata(self) -> None:
        """Makes the metadata a read-only copy; they must be JSON values."""
        try:
            metadata = json.loads(json.dumps(dict(self.metadata), allow_nan=False, sort_keys=True))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"`metadata` must be a mapping of JSON values, all finite: {error}.") from error
        object.__setattr__(self, "metadata", types.MappingProxyType(metadata))


def model_of(content: Mapping[str, Any]) -> Any:
    """The method that a genotype's JSON object names. One that names none is HF-MNAS's."""
    return content.get("model", "hf_mnas")


def choices_in(content: Mapping[str, Any]) -> dict[str, Any]:
    """Of a genotype's JSON object what was chosen: equal for genotypes of the same choices, importance aside."""
    return {key: value for key, value in content.items() if key not in _BESIDE_THE_CHOICES}


def read_text(path: str | os.PathLike) -> bytes:
    """A genotype's file, of which no more is read than one may have."""
    with open(path, "rb") as file:
        return file.read(MAX_CHARACTERS + 1)
