"""Reads the tensors of a published network, whichever of two formats they come in."""

from __future__ import annotations

import os

import numpy as np

from hfmnas_keras.backbones.safetensors_file import read_safetensors
from hfmnas_keras.backbones.torch_file import read_torch_file


def read_tensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All tensors of a `.safetensors` file or, with any other ending, of a state dict that `torch.save` wrote.

    Nothing that the file says is run.

    Raises:
        ValueError: when the file is damaged or of another kind.
        OSError: when it cannot be opened.
    """
    read = read_safetensors if str(path).endswith(".safetensors") else read_torch_file
    return read(str(path))
