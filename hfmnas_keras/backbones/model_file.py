"""Reads `.keras` files that strangers may have made."""

from __future__ import annotations

import os
import zipfile

import keras

# Keras stores weights as they are; its text packs to a tenth.
_MOST_TIMES_PACKED, _SMALL = 100, 64 << 20
_MOST_MEMBERS = 10_000


def read_model_file(path: str) -> keras.Model:
    """The model in a `.keras` file, which may be anybody's: nothing in it is run.

    What the archive's directory claims is looked at before anything is unpacked.

    Raises:
        ValueError: when the file has another ending, is missing or damaged, holds code, or would unpack to a hundred
            times its size.
    """
    if not str(path).endswith(".keras"):
        raise ValueError(f"A model must be a `.keras` file. Received: {path!r}.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        unpacked, size = sum(member.file_size for member in members), os.path.getsize(path)
        if unpacked > max(_SMALL, _MOST_TIMES_PACKED * size) or len(members) > _MOST_MEMBERS:
            raise ValueError(f"it claims {len(members)} files of {unpacked} bytes, packed in {size}")
        return keras.saving.load_model(path, compile=False)
    # Readers of JSON, ZIP and HDF5 meet bytes of strangers here; what they raise is not a closed list.
    except Exception as error:
        raise ValueError(f"The model {path!r} cannot be loaded: {error}") from error
