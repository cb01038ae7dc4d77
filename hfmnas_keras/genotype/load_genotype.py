"""Reading a genotype of whichever method."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from hfmnas_keras.genotype.base_genotype import BaseGenotype, model_of, read_text
from hfmnas_keras.genotype.bm_genotype import BMGenotype
from hfmnas_keras.genotype.genotype import Genotype
from hfmnas_keras.genotype.json_text import parse_object
from hfmnas_keras.settings.models import SEARCHED_MODELS

#: Ours, to be read without Keras.
_CLASSES: dict[str, type[BaseGenotype]] = {"hf_mnas": Genotype, "bm_nas": BMGenotype}


def genotype_from_json(text: str | bytes, model: str | None = None) -> Any:
    """Reads a genotype of the method that its text names.

    Args:
        text: str or bytes. JSON, which may come from anywhere.
        model: str or None. The method that it has to be of; `None` (default) for any.

    Raises:
        ValueError: when it is not a genotype, or of another method.
    """
    content = parse_object(text)
    received = model_of(content)
    if not isinstance(received, str) or received not in SEARCHED_MODELS:
        raise ValueError(f"There are genotypes of the models {', '.join(SEARCHED_MODELS)}. Received: {received!r}.")
    if model is not None and received != model:
        raise ValueError(
            f"Expected a genotype of the model {model!r}. Received: one of {received!r}. Search with `model: {model}`, "
            f"or train with `model: {received}`."
        )
    genotype = _CLASSES.get(received) or SEARCHED_MODELS[received].genotype
    return genotype.from_content(content)


def save_genotypes(genotypes: Sequence[BaseGenotype], folder: str | os.PathLike) -> None:
    """Writes genotypes, the best first: `genotype.json`, `genotype_2.json` and so on."""
    for number, genotype in enumerate(genotypes, start=1):
        genotype.save(_path(folder, number))


def load_genotypes(folder: str | os.PathLike, model: str | None = None) -> list[Any]:
    """Reads what `save_genotypes` wrote, with the checks of `load_genotype`; one genotype at least."""
    genotypes = [load_genotype(_path(folder, 1), model)]
    while os.path.exists(path := _path(folder, len(genotypes) + 1)):
        genotypes.append(load_genotype(path, model))
    return genotypes


def load_genotype(path: str | os.PathLike, model: str | None = None) -> Any:
    """Reads a genotype's file, with the checks of `genotype_from_json`.

    Args:
        path: file that `BaseGenotype.save` wrote.
        model: str or None. See `genotype_from_json`.
    """
    text = read_text(path)
    try:
        return genotype_from_json(text, model)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)} is not a genotype{' of ' + model if model else ''}: {error}") from error


def _path(folder: str | os.PathLike, number: int) -> str:
    return os.path.join(folder, "genotype.json" if number == 1 else f"genotype_{number}.json")
