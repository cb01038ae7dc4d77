"""One digest for arrays, wherever a checkpoint has to know that its data are the same."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

_PIECE = 256


def array_digest(*arrays: Any) -> str:
    """Returns a digest of values, shapes and types.

    Args:
        *arrays: numpy arrays, of numbers or, as objects, of bytes (encoded pictures); or `DecodedRows`, of which the
            encoded ones count. A memory-mapped array stays on disk.

    Returns:
        str. 64 hexadecimal digits.

    Example:
    >>> array_digest(np.zeros(2)) == array_digest(np.zeros(2)) != array_digest(np.zeros(3))
    True
    """
    digest = hashlib.sha256()
    for array in arrays:
        array = np.atleast_1d(getattr(array, "encoded", array))
        digest.update(f"{array.dtype}{array.shape}".encode())
        for start in range(0, len(array), _PIECE):
            piece = array[start : start + _PIECE]
            if array.dtype == object:
                piece = np.array([list(hashlib.sha256(value).digest()) for value in piece.flat], "uint8")
            digest.update(np.ascontiguousarray(piece).tobytes())
    return digest.hexdigest()
