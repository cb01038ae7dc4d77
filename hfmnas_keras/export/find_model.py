"""The exported model that a path stands for."""

from __future__ import annotations

import os
import pathlib

#: In a folder of `FusionClassifier`, and what a SavedModel always has.
_CLASSIFIER, _SAVED_MODEL = "saved_model", "saved_model.pb"


def find_model(path: str | os.PathLike) -> pathlib.Path:
    """The folder of the SavedModel that a path leads to.

    Args:
        path: a SavedModel; a folder of versions, as TensorFlow Serving reads it, of which the newest is taken; what
            `FusionClassifier` saved; or the root of a run, `runs/NAME`, with the models that it has pushed.

    Raises:
        ValueError: when there is no model, or a run has pushed several by name.
    """
    folder = pathlib.Path(path)
    if (folder / _SAVED_MODEL).is_file():
        return folder
    if (folder / _CLASSIFIER / _SAVED_MODEL).is_file():
        return folder / _CLASSIFIER
    if (newest := _newest(folder)) is not None:
        return newest
    served = folder / "serving"
    found = [version for child in sorted(_folders(served)) if (version := _newest(child)) is not None]
    if len(found) > 1:
        raise ValueError(
            f"{str(served)!r} has several models. Name one of {', '.join(str(one.parent) for one in found)}."
        )
    if not found:
        hint = " The run has pushed none: was it blessed?" if served.is_dir() or (folder / "artifacts").is_dir() else ""
        raise ValueError(
            f"There is no model in {str(path)!r}: name a SavedModel, what FusionClassifier saved, or runs/NAME.{hint}"
        )
    return found[0]


def _newest(folder: pathlib.Path) -> pathlib.Path | None:
    versions = [child for child in _folders(folder) if child.name.isdecimal() and (child / _SAVED_MODEL).is_file()]
    return max(versions, key=lambda version: int(version.name), default=None)


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return [child for child in folder.iterdir() if child.is_dir()] if folder.is_dir() else []
