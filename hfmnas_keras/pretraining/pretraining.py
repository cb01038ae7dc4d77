"""Pre-trains the unimodal backbones and cross-fits them (HF-MNAS, section III-D; docs/method.md, section 3)."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from hfmnas_keras.atomic_file import atomic_path
from hfmnas_keras.data.decoded_rows import DecodedRows
from hfmnas_keras.pretraining.backbone_files import BACKBONES_FILE
from hfmnas_keras.pretraining.backbone_recipe import BackboneRecipe
from hfmnas_keras.pretraining.cross_fitting import fold_keys, folds_of
from hfmnas_keras.pretraining.modality_run import VERSION, ModalityRun, write_json
from hfmnas_keras.settings.pretraining import PretrainingSettings


def pretrain_backbones(
    recipes: Mapping[str, BackboneRecipe],
    train_inputs: Mapping[str, Any],
    train_labels: np.ndarray,
    train_ids: Sequence[str] | np.ndarray,
    dev_inputs: Mapping[str, Any],
    dev_labels: np.ndarray,
    output_dir: str | os.PathLike,
    settings: PretrainingSettings | None = None,
    work_dir: str | os.PathLike | None = None,
    frozen_taps: dict[str, dict[str, np.ndarray]] | None = None,
    lacking: Sequence[Mapping[str, np.ndarray]] = ({}, {}),
) -> dict[str, Any]:
    """Trains one backbone and head a modality and writes the folder that `extract_features` reads.

    The reference network is fitted on the whole train split, with dev watched. Where taps see labels,
    `settings.folds` more networks from the same initial weights are fitted in the same way, each without the rows of
    one fold, and their taps are brought into the reference's units (`fold_alignment`). Where they see none
    (a frozen trunk), the taps are computed once and the head alone is trained on them.

    A run that was cut off goes on: every network is written when it is finished (under another name, then renamed) and
    is kept as long as settings, initial weights and data are the same.

    Args:
        recipes: `BackboneRecipe` by modality.
        train_inputs, dev_inputs: by modality, arrays `(rows, ...)`; or `DecodedRows`, which are decoded batch by batch
            where a split does not fit into memory; or `tf.data.Dataset`s of single rows in the order of the labels,
            which are read into memory. Pictures may stay uint8.
        train_labels, dev_labels: int arrays `(rows,)`, or float arrays `(rows, classes)` in multi-label sets.
        train_ids: ids of the train rows; they decide the folds, but of texts, where it is the words (`fold_keys`).
        output_dir: folder to write.
        settings: `PretrainingSettings`.
        work_dir: folder of the unfinished run. Defaults to `output_dir`.
        frozen_taps: dict or None. Gets under `"train"` and `"dev"` what `extract_features` would compute again, an
            array by `"{modality}_{tap}"`: of taps that see no label, unless their network was there already. Defaults
            to None.
        lacking: two dicts, of train and of dev: by modality, bool array `(rows,)`, which rows lack it. Its network
            neither sees nor is scored on them. Defaults to none.

    Returns:
        What was written to `backbones.json`. Per modality: `sees_labels`, `folds`, `epochs`, `train_macro_f1` and
        `dev_macro_f1` of the head, `cross_fitted_macro_f1` (train rows through the networks that have not seen
        them), `thresholds` (of multi-label data: by kind, `dev` and `per_class`, those that dev chooses for the head;
        the scores are at those of `per_class`), `curves`, `alignment` (share of the reference's
        variance before and after, by tap, mean over folds), `weights`, `input_shape`, `output_shapes`
        and `warning` (str or None).

    Raises:
        ValueError: when inputs, labels and recipes do not fit each other, or given weights do not fit the recipe.
        RuntimeError: when the training diverges.
    """
    settings = settings or PretrainingSettings()
    output_dir = pathlib.Path(output_dir)
    work_dir = pathlib.Path(work_dir) if work_dir is not None else output_dir
    train_arrays = _arrays(train_inputs, recipes, len(train_labels), "train")
    dev_arrays = _arrays(dev_inputs, recipes, len(dev_labels), "dev")
    if len(train_ids) != len(train_labels):
        raise ValueError(f"Every train row needs an id. Received: {len(train_ids)} ids, {len(train_labels)} labels.")
    train_labels, dev_labels = _labels(train_labels), _labels(dev_labels)

    modalities = {}
    for modality, recipe in recipes.items():
        train_rows, dev_rows = (
            _rows_with(modality, arrays[modality], labels, of_split.get(modality), split)
            for arrays, labels, of_split, split in (
                (train_arrays, train_labels, lacking[0], "train"),
                (dev_arrays, dev_labels, lacking[1], "dev"),
            )
        )
        ids = np.asarray(train_ids)[~lacking[0].get(modality, np.zeros(len(train_ids), bool))]
        keys = fold_keys(ids, train_rows[0])
        fold_of_row = folds_of(keys, settings.folds, settings.seed) if settings.folds else None
        run = ModalityRun(
            modality,
            recipe,
            train_rows,
            dev_rows,
            fold_of_row,
            dataclasses.replace(settings, learning_rate=recipe.learning_rate or settings.learning_rate),
            work_dir / modality,
        )
        modalities[modality] = run.finish()
        if frozen_taps is not None:
            for split, taps in run.taps.items():
                is_lacking = lacking[("train", "dev").index(split)].get(modality)
                frozen_taps.setdefault(split, {}).update(
                    {f"{modality}_{tap}": _of_all_rows(array, is_lacking) for tap, array in taps.items()}
                )
        _copy_networks(work_dir / modality, output_dir / modality, modalities[modality]["folds"])
    record = {"version": VERSION, "seed": settings.seed, "modalities": modalities}
    write_json(output_dir / BACKBONES_FILE, record)
    return record


def _arrays(inputs: Any, recipes: Any, num_rows: Any, split: Any) -> Any:
    missing = sorted(set(recipes) - set(inputs))
    if missing:
        raise ValueError(f"The {split} split lacks inputs of: {', '.join(missing)}.")
    arrays = {}
    for modality in recipes:
        rows = inputs[modality]
        # A `tf.data.Dataset`: anything that iterates over rows and cannot be indexed by an array of row numbers.
        array = rows if hasattr(rows, "__getitem__") else np.stack([np.asarray(row) for row in rows])
        if len(array) != num_rows:
            raise ValueError(f"The {split} split has {num_rows} labels and {len(array)} rows of {modality}.")
        arrays[modality] = array
    if not num_rows:
        raise ValueError(f"The {split} split has no rows.")
    return arrays


def _rows_with(modality: str, rows: Any, labels: Any, lacking: Any, split: str) -> Any:
    """Rows and labels of those that have the modality."""
    if lacking is None or not lacking.any():
        return rows, labels
    numbers = np.flatnonzero(~lacking)
    if not len(numbers):
        raise ValueError(f"No row of the {split} split has {modality}. Bring some, or leave the modality out.")
    logging.info("%s: %d of %d %s rows lack it and are left out.", modality, len(rows) - len(numbers), len(rows), split)
    return rows.subset(numbers) if isinstance(rows, DecodedRows) else rows[numbers], labels[numbers]


def _of_all_rows(features: np.ndarray, lacking: np.ndarray | None) -> np.ndarray:
    """Zeros in the rows that lack the modality, which `filled_features` replaces."""
    if lacking is None or not lacking.any():
        return features
    whole = np.zeros((len(lacking), *features.shape[1:]), features.dtype)
    whole[~lacking] = features
    return whole


def _labels(labels: Any) -> Any:
    labels = np.asarray(labels)
    return labels.astype("float32" if labels.ndim == 2 else "int64")


def _copy_networks(source: Any, target: Any, folds: Any) -> None:
    if source.resolve() == target.resolve():
        return
    for name in ["reference.keras", *(f"fold_{fold}.keras" for fold in range(folds))]:
        with atomic_path(target / name) as partial:
            shutil.copyfile(source / name, partial)
