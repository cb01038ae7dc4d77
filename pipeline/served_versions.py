"""The numbered versions below a push destination, and what TensorFlow Serving is told about them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import tensorflow as tf

from hfmnas_keras.data.stored_files import check_address, copy_folder

#: What the name of a version that no longer serves begins with; servers look at numbers alone.
WITHDRAWN = "withdrawn-"
_SAVED_MODEL_FILE = "saved_model.pb"


def served_versions(folder: str) -> list[int]:
    """Returns the versions below a push destination, the oldest first.

    Args:
        folder: str. Path or address.

    Raises:
        ValueError: when there is no such folder.
    """
    check_address(folder)
    if not tf.io.gfile.isdir(folder):
        raise ValueError(f"There is no folder {folder!r}. Name a push destination, such as runs/demo/serving/demo.")
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]
    return sorted(int(name) for name in names if re.fullmatch("[0-9]+", name))


def roll_back(folder: str, to: int | None = None) -> tuple[list[int], int]:
    """Withdraws versions, so that an older one is the newest and serves.

    A withdrawn version is renamed, and can be renamed back. TensorFlow Serving looks at the folder every second or so
    and then loads what is the newest.

    Args:
        folder: str. Path or address of a push destination.
        to: int or None. The version to serve. `None` (default): the one before the newest.

    Returns:
        List of the withdrawn versions, and the version that serves now.

    Raises:
        ValueError: when there is no such version, or none before the newest.
    """
    versions = served_versions(folder)
    if to is None:
        if len(versions) < 2:
            raise ValueError(f"{folder} has the versions {versions}: there is none to go back to.")
        to = versions[-2]
    if to not in versions:
        raise ValueError(f"{folder} has no version {to}. Its versions: {versions}.")
    withdrawn = [version for version in versions if version > to]
    # The newest first: at no time does a version serve that is between.
    for version in reversed(withdrawn):
        source, target = (os.path.join(folder, name) for name in (str(version), f"{WITHDRAWN}{version}"))
        # Not by renaming, which in an object store is no single act either; a copy is whole before the version goes.
        copy_folder(source, target, last=_SAVED_MODEL_FILE)
        tf.io.gfile.rmtree(source)
    return withdrawn, to


def withdrawn_versions(folder: str) -> list[int]:
    """Returns the versions that `roll_back` took out of service and nobody renamed back, the oldest first.

    Args:
        folder: str. Path or address of a push destination; one that is not there has none.
    """
    if not tf.io.gfile.isdir(folder):
        return []
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]
    return sorted(int(name[len(WITHDRAWN) :]) for name in names if re.fullmatch(f"{WITHDRAWN}[0-9]+", name))


def server_config(name: str, base_path: str, versions: Sequence[int], canary: bool = False) -> str:
    """Returns the text of a `ModelServerConfig`, TensorFlow Serving's `--model_config_file`.

    Args:
        name: str. The model's, as clients ask for it.
        base_path: str. Where the server sees the push destination.
        versions: sequence of ints. As `served_versions` gives them.
        canary: bool. Whether the two newest versions serve, labelled `stable` and `canary`. Defaults to `False`: the
            newest serves, labelled `stable`.

    Raises:
        ValueError: when there are too few versions.
    """
    needed = 2 if canary else 1
    if len(versions) < needed:
        raise ValueError(f"{needed} versions are needed. Received: {list(versions)}. Push a model first.")
    labels = dict(zip(("stable", "canary"), versions[-needed:], strict=False))
    specific = "".join(f"\n        versions: {version}" for version in labels.values())
    labelled = "".join(
        f'\n    version_labels {{\n      key: "{label}"\n      value: {version}\n    }}'
        for label, version in labels.items()
    )
    return f"""model_config_list {{
  config {{
    name: "{name}"
    base_path: "{base_path}"
    model_platform: "tensorflow"
    model_version_policy {{
      specific {{{specific}
      }}
    }}{labelled}
  }}
}}
"""
