"""A name for the content of a model's folder."""

import hashlib
import os

from tfx.dsl.io import fileio

_CHUNK_BYTES = 1 << 20


def model_digest(folder: str) -> str:
    """Returns the SHA-256 of a folder's files: their relative paths and contents, whatever their order and times.

    Args:
        folder: str. Local or remote.

    Returns:
        str. 64 hexadecimal digits.

    Raises:
        ValueError: the folder holds no file.
    """
    files = sorted(
        os.path.relpath(os.path.join(str(directory), str(name)), folder)
        for directory, _, names in fileio.walk(folder)
        for name in names
    )
    if not files:
        raise ValueError(f"`folder` must hold a model. Received: {folder}, which holds no file.")
    digest = hashlib.sha256()
    for file in files:
        # Each part by its own digest: no two different lists of files can then make the same bytes.
        digest.update(hashlib.sha256(file.replace(os.sep, "/").encode("utf-8")).digest())
        digest.update(_file_digest(os.path.join(folder, file)))
    return digest.hexdigest()


def _file_digest(path: str) -> bytes:
    digest = hashlib.sha256()
    with fileio.open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
