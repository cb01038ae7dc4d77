"""Features of rows from pre-trained backbones (docs/method.md, section 3)."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

# Loading a `.keras` file needs these classes registered.
from hfmnas_keras.backbones import (  # noqa: F401
    encoder_backbone,
    image_backbone,
    keras_backbone,
    skeleton_backbone,
    text_backbone,
    video_backbone,
)
from hfmnas_keras.pretraining.backbone_files import BACKBONES_FILE, TAPS
from hfmnas_keras.pretraining.batched_outputs import BatchedOutputs
from hfmnas_keras.pretraining.cross_fitting import fold_keys, folds_of

_VERSION = 1


def extract_features(
    backbones_dir: str | os.PathLike,
    ids: Sequence[str] | np.ndarray,
    inputs: Mapping[str, Any],
    split: str,
    batch_size: int = 64,
    known: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Computes the low and high features of every modality, once for the whole search.

    Rows of the train split pass the network of their fold, which has not been fitted on them; rows of other splits,
    and all rows of a modality without folds, pass the reference.

    Args:
        backbones_dir: folder that `pretrain_backbones` wrote.
        ids: ids of the rows.
        inputs: array `(rows, ...)` by modality; modalities that the folder does not know are an error.
        split: str. `"train"`, `"dev"` or another name.
        batch_size: int. Defaults to `64`.
        known: mapping or None. Features of these very rows that `pretrain_backbones` has computed on its way; of a
            modality whose taps are all among them no row passes the network again. Defaults to None.

    Returns:
        dict from `"{modality}_low"` and `"{modality}_high"` to float32 arrays `(rows, ...)`.

    Raises:
        ValueError: when inputs and folder do not fit each other.
        RuntimeError: when the folder is incomplete.
    """
    folder = pathlib.Path(backbones_dir)
    record = read_backbones(folder)
    modalities = record["modalities"]
    unknown = sorted(set(inputs) - set(modalities))
    if unknown:
        raise ValueError(f"{folder} has no backbones for {', '.join(unknown)}; it has {', '.join(modalities)}.")
    features: dict[str, np.ndarray] = {}
    for modality, rows in inputs.items():
        if len(rows) != len(ids):
            raise ValueError(f"Every row needs an id. Received: {len(ids)} ids and {len(rows)} rows of {modality}.")
        of_modality = {name: known[name] for tap in TAPS if known and (name := f"{modality}_{tap}") in known}
        if len(of_modality) == len(TAPS):
            if any(len(array) != len(ids) for array in of_modality.values()):
                raise ValueError(f"The known features of {modality} are not of the {len(ids)} rows. Leave them out.")
            features.update(of_modality)
            continue
        folds = modalities[modality]["folds"] if split == "train" else 0
        if folds:
            fold_of_row = folds_of(fold_keys(ids, rows), folds, record["seed"])
            parts = {f"fold_{fold}": np.flatnonzero(fold_of_row == fold) for fold in range(folds)}
        else:
            parts = {"reference": np.arange(len(ids))}
        for name, numbers in parts.items():
            backbone = load_backbone(folder, modality, name)
            taps = keras.Model(backbone.input, {tap: backbone.output[tap] for tap in TAPS})
            outputs = BatchedOutputs(taps, batch_size)(
                rows, numbers, progress=f"{modality}: features of {len(numbers)} {split} rows ({name})"
            )
            for tap in TAPS:
                feature = f"{modality}_{tap}"
                if feature not in features:
                    features[feature] = np.zeros((len(ids), *outputs[tap].shape[1:]), "float32")
                features[feature][numbers] = outputs[tap]
    return features


def read_backbones(backbones_dir: str | os.PathLike) -> dict[str, Any]:
    """The checked `backbones.json` of a folder.

    Raises:
        RuntimeError: when the file is missing, is no JSON, or of another version.
    """
    path = pathlib.Path(backbones_dir) / BACKBONES_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RuntimeError(f"{path} cannot be read: {error}. Run `pretrain_backbones` into this folder.") from error
    if not isinstance(record, dict) or record.get("version") != _VERSION or "modalities" not in record:
        raise RuntimeError(f"{path} is not of version {_VERSION}. Run `pretrain_backbones` again.")
    return record


def load_backbone(backbones_dir: str | os.PathLike, modality: str, name: str = "reference") -> keras.Model:
    """One network of the folder: `"reference"` or `"fold_{k}"`.

    Raises:
        RuntimeError: when its file is missing.
    """
    path = pathlib.Path(backbones_dir) / modality / f"{name}.keras"
    if not path.is_file():
        raise RuntimeError(f"{path} is missing, though {BACKBONES_FILE} names it. Run `pretrain_backbones` again.")
    backbone = keras.saving.load_model(path, compile=False)
    # The file knows which layers are frozen, but not those that a layer makes when it is built.
    for layer in backbone.layers:
        if not layer.trainable:
            # Keras leaves what is set to what it was.
            layer.trainable = True
            layer.trainable = False
    return backbone
