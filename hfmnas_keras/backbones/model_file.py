"""Reads the `.keras` file of a backbone or of its trunk."""

from __future__ import annotations

import zipfile

import keras


def read_model_file(path: str) -> keras.Model:
    """The model in a `.keras` file, which may be anybody's: nothing in it is run.

    Raises:
        ValueError: when the file has another ending, is missing or damaged, or holds code.
    """
    if not str(path).endswith(".keras"):
        raise ValueError(f"A model must be a `.keras` file. Received: {path!r}.")
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"The model {path!r} cannot be loaded: {error}") from error
