"""Reads weights that somebody else trained into a backbone."""

from __future__ import annotations

from typing import Any

import keras

from hfmnas_keras.backbones.model_file import read_model_file
from hfmnas_keras.pretraining.backbone_files import TAPS


def load_given_weights(backbone: keras.Model, path: str) -> keras.Model:
    """A backbone with weights from a file, checked against what the recipe builds.

    A `.weights.h5` file goes into the recipe's network. A `.keras` file replaces it: input and logits must have the
    recipe's shapes and maps its grid, while the width of the taps is free.

    Args:
        backbone: what the recipe builds.
        path: the file, `.keras` or `.weights.h5`.

    Raises:
        ValueError: when the file is of another kind or does not fit.
    """
    if str(path).endswith(".weights.h5"):
        try:
            backbone.load_weights(path)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(f"The weights {path!r} do not fit {backbone.name}: {error}") from error
        return backbone
    if not str(path).endswith(".keras"):
        raise ValueError(f"Weights must be a `.keras` or `.weights.h5` file. Received: {path!r}.")
    given = read_model_file(path)
    received, expected = _shapes(given), _shapes(backbone)
    fits = (
        received.keys() == expected.keys()
        and received["input"] == expected["input"]
        and received["logits"] == expected["logits"]
        and all(received[tap][:-1] == expected[tap][:-1] for tap in TAPS)
    )
    if not fits:
        raise ValueError(
            f"The model {path!r} does not fit {backbone.name}. Received shapes: {received}. Expected: {expected} "
            "(the last axis of a tap is free)."
        )
    return given


def _shapes(model: keras.Model) -> Any:
    # A sequential model returns one tensor, so it is none of ours whatever its shapes.
    outputs = {} if isinstance(model, keras.Sequential) else model.output
    outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in outputs.items()}
    return {"input": tuple(model.inputs[0].shape[1:]) if len(model.inputs) == 1 else None, **shapes}
